#include "train/summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "eval/metrics.h"
#include "io/error.h"

namespace loraxs {
namespace {

nlohmann::json or_null(const std::optional<double>& value) { return value ? nlohmann::json(*value) : nlohmann::json(); }

/// The score a job is reported with; nothing where there is none, or none that is a number.
std::optional<double> reported(const JobResult& job, bool selected, bool split) {
  if (!selected || job.best.epoch == 0) return std::nullopt;
  const std::optional<double> value = split ? job.best.validation : std::optional(job.best.value);
  return value && std::isnan(*value) ? std::nullopt : value;
}

/// What chooses between settings; NaN where no job of it has a score.
double selection_value(const nlohmann::json& setting) {
  const nlohmann::json& value = setting.at("selection_value");
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

/// One setting of the grid: its jobs, median and spread.
nlohmann::json summarize_setting(const std::vector<const JobResult*>& jobs, bool selected, bool split) {
  std::vector<double> chosen_by, values;
  nlohmann::json seeds = nlohmann::json::array();
  for (const JobResult* job : jobs) {
    const std::optional<double> value = reported(*job, selected, split);
    if (selected && job->best.epoch > 0) chosen_by.push_back(job->best.value);
    if (value) values.push_back(*value);
    seeds.push_back({{"seed", job->job.seed},
                     {"value", or_null(value)},
                     {"best_epoch", job->best.epoch},
                     {"best_step", job->best.step}});
    if (split) seeds.back()["best_validation"] = or_null(job->best.best_validation);
    if (job->ended) seeds.back()["ended"] = {{"step", job->ended->step}, {"reason", job->ended->reason}};
  }
  return {{"learning_rate", jobs.front()->job.learning_rate},
          {"head_learning_rate", jobs.front()->job.head_learning_rate},
          {"value", values.empty() ? nlohmann::json() : nlohmann::json(median(values))},
          {"standard_deviation", or_null(standard_deviation(values))},
          {"selection_value", chosen_by.empty() ? nlohmann::json() : nlohmann::json(median(chosen_by))},
          {"seeds", seeds}};
}

/// "0.7480 ± 0.0240": median and spread.
std::string shown(const nlohmann::json& setting) {
  if (setting.at("value").is_null()) return "no validation data";
  char text[64];
  const double value = setting.at("value").get<double>();
  if (setting.at("standard_deviation").is_null()) {
    std::snprintf(text, sizeof text, "%.4f", value);
  } else {
    std::snprintf(text, sizeof text, "%.4f ± %.4f", value, setting.at("standard_deviation").get<double>());
  }
  return text;
}

/// The best adapter of the best setting, below the run folder: "seed-0/best.safetensors". Where every job of it ended
/// without one, the first of another; null: there is none.
nlohmann::json best_adapter(const TrainResult& result, int64_t setting, const std::string& metric) {
  const JobResult* best = nullptr;
  for (const JobResult& job : result.jobs) {
    if (!job.has_adapter) continue;
    const bool chosen = job.job.setting == setting;
    const bool nearer = best != nullptr && chosen && best->job.setting != setting;
    const bool better = best != nullptr && chosen && is_better(metric, job.best.value, best->best.value);
    if (best == nullptr || nearer || better) best = &job;
  }
  return best == nullptr ? nlohmann::json() : nlohmann::json(best->job.name + "/best.safetensors");
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::optional<double> standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return std::nullopt;
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (count - 1));
}

nlohmann::json summarize_run(const TrainSetup& setup, const TrainResult& result) {
  const bool split = setup.recipe.train.selection == "split";
  std::vector<std::vector<const JobResult*>> grid;
  for (const JobResult& job : result.jobs) {
    grid.resize(std::max<size_t>(grid.size(), job.job.setting + 1));
    grid[job.job.setting].push_back(&job);
  }
  nlohmann::json settings = nlohmann::json::array();
  size_t best = 0;
  for (const auto& jobs : grid) {
    settings.push_back(summarize_setting(jobs, result.selected, split));
    const size_t index = settings.size() - 1;
    if (is_better(setup.metric, selection_value(settings[index]), selection_value(settings[best]))) best = index;
  }
  const nlohmann::json& chosen = settings[best];
  const Layout& layout = result.layout;
  const bool one_rank =
      std::adjacent_find(layout.ranks.begin(), layout.ranks.end(), std::not_equal_to<>()) == layout.ranks.end();
  const double seconds = std::max(result.train_seconds, 1e-9);
  return {{"event", "done"},
          {"model", setup.recipe.model},
          {"task", setup.task_name},
          {"method", setup.recipe.method.train_sites ? layout.method : "head only"},
          {"rank", one_rank ? nlohmann::json(layout.largest_rank()) : nlohmann::json()},
          {"metric", setup.metric},
          {"value", chosen.at("value")},
          {"standard_deviation", chosen.at("standard_deviation")},
          {"selection", setup.recipe.train.selection},
          {"selection_value", chosen.at("selection_value")},
          {"best_epoch", result.selected ? chosen.at("seeds").front().at("best_epoch") : nlohmann::json()},
          {"learning_rate", chosen.at("learning_rate")},
          {"head_learning_rate", chosen.at("head_learning_rate")},
          {"start", setup.start ? setup.start->to_json() : nlohmann::json()},
          {"trained_parameters", setup.recipe.method.train_sites ? layout.adapter_numbers : 0},
          {"head_parameters", layout.row_size - layout.adapter_numbers},
          {"adapter", best_adapter(result, static_cast<int64_t>(best), setup.metric)},
          {"adapter_bytes", result.adapter_bytes},
          {"sentences_per_second", static_cast<double>(result.sentences) / seconds},
          {"tokens_per_second", static_cast<double>(result.tokens) / seconds},
          {"peak_memory_bytes", result.peak_memory_bytes},
          {"steps", result.steps},
          {"settings", settings},
          {"seeds", chosen.at("seeds")}};
}

std::string summary_text(const nlohmann::json& summary) {
  std::string text;
  const std::string metric = summary.at("metric");
  const nlohmann::json& settings = summary.at("settings");
  if (settings.size() > 1) {
    for (const nlohmann::json& setting : settings) {
      text += concat("learning rate ", setting.at("learning_rate").get<double>(), ", head ",
                     setting.at("head_learning_rate").get<double>(), ": ", shown(setting), "\n");
    }
    text += concat("best setting: learning rate ", summary.at("learning_rate").get<double>(), ", head ",
                   summary.at("head_learning_rate").get<double>(), "\n");
  }
  for (const nlohmann::json& setting : settings) {
    for (const nlohmann::json& seed : setting.at("seeds")) {
      if (!seed.contains("ended")) continue;
      text += concat(
          "seed ", seed.at("seed").get<int64_t>(), " of learning rate ", setting.at("learning_rate").get<double>(),
          ", head ", setting.at("head_learning_rate").get<double>(), " ended at step ",
          seed.at("ended").at("step").get<int64_t>(), ": ", seed.at("ended").at("reason").get<std::string>(), "\n");
    }
  }
  const size_t seeds = summary.at("seeds").size();
  text += concat(metric, ": ", shown(summary), " (median of ", seeds, seeds == 1 ? " seed" : " seeds", ", best epoch",
                 summary.at("selection") == "split" ? " by held-out training data)\n" : ")\n");
  if (const nlohmann::json& start = summary.at("start"); !start.is_null()) {
    text += concat("start: R of ", start.at("sites").get<int64_t>(), " sites carried from ",
                   start.at("adapter").get<std::string>(), " (task ", start.at("task").get<std::string>(), "), head ",
                   start.at("head").get<std::string>(), "\n");
  }
  return text + concat("trained parameters: ", summary.at("trained_parameters").get<int64_t>(), " in adapters, ",
                       summary.at("head_parameters").get<int64_t>(), " in the head\n");
}

}  // namespace loraxs
