#include "api/studies/comparison.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "eval/metrics.h"
#include "io/error.h"
#include "io/json.h"
#include "io/text_file.h"
#include "train/summary.h"

namespace loraxs {
namespace {

/// The first seed with every rate of the grid.
Recipe choosing_recipe(Recipe recipe) {
  recipe.train.seeds.resize(1);
  return recipe;
}

/// The other seeds with the rates that were chosen: one run, or one for each where the method starts from a gradient.
std::vector<Recipe> repeating_recipes(Recipe recipe, const nlohmann::json& chosen) {
  recipe.train.learning_rate = {chosen.at("learning_rate").get<double>()};
  recipe.train.head_learning_rate = {chosen.at("head_learning_rate").get<double>()};
  const std::vector<int64_t> seeds(recipe.train.seeds.begin() + 1, recipe.train.seeds.end());
  std::vector<Recipe> recipes;
  if (seeds.empty()) return recipes;
  if (recipe.method.name != "lora_sb") {
    recipe.train.seeds = seeds;
    return {recipe};
  }
  recipes.reserve(seeds.size());
  for (const int64_t seed : seeds) {
    recipe.train.seeds = {seed};
    recipes.push_back(recipe);
  }
  return recipes;
}

const char* score_key(ChosenBy chosen_by) { return chosen_by == ChosenBy::kHeldOut ? "value" : "best_validation"; }

/// Of a run over all rates, the setting that is chosen; else the run's only one.
const nlohmann::json& chosen_setting(const nlohmann::json& done, ChosenBy chosen_by) {
  const nlohmann::json& settings = done.at("settings");
  const auto rank = [&](const nlohmann::json& setting) {
    const nlohmann::json& value = chosen_by == ChosenBy::kHeldOut ? setting.at("selection_value")
                                                                  : setting.at("seeds").at(0).at(score_key(chosen_by));
    return value.is_number() ? value.get<double>() : NAN;
  };
  return *std::max_element(settings.begin(), settings.end(), [&](const nlohmann::json& x, const nlohmann::json& y) {
    return is_better(done.at("metric"), rank(y), rank(x));
  });
}

void take_scores(const nlohmann::json& setting, ChosenBy chosen_by, ScoresBySeed& scores) {
  for (const nlohmann::json& seed : setting.at("seeds")) {
    const nlohmann::json& value = seed.at(score_key(chosen_by));
    if (value.is_number()) scores[seed.at("seed").get<int64_t>()] = value.get<double>();
  }
}

bool is_share(const std::string& metric) { return metric != "loss"; }
bool lower_is_better(const std::string& metric) { return metric == "loss"; }

const ArmScores* find_arm(const std::vector<ArmScores>& scores, const std::string& task, const std::string& name) {
  const auto found = std::find_if(scores.begin(), scores.end(),
                                  [&](const ArmScores& each) { return each.task == task && each.arm.name == name; });
  return found == scores.end() ? nullptr : &*found;
}

bool is_reference(const Arm& arm, const Comparison& comparison) {
  return std::find(comparison.references.begin(), comparison.references.end(), arm.name) != comparison.references.end();
}

/// What the arm is compared with.
std::vector<std::string> references_of(const ArmScores& scores, const Comparison& comparison) {
  if (!scores.arm.against.empty()) return {scores.arm.against};
  return is_reference(scores.arm, comparison) ? std::vector<std::string>() : comparison.references;
}

/// What trains no parameters has no place on a logarithmic axis: a dashed line across the chart.
void lay_levels(Chart& chart) {
  double low = INFINITY, high = 0;
  for (const Curve& curve : chart.curves) {
    for (const ChartPoint& point : curve.points) {
      if (point.x <= 0) continue;
      low = std::min(low, point.x), high = std::max(high, point.x);
    }
  }
  if (high == 0) return;
  for (Curve& curve : chart.curves) {
    if (curve.points.size() != 1 || curve.points.front().x > 0) continue;
    const double level = curve.points.front().y;
    curve.points = {{low, level, 0, {}}, {high, level, 0, {}}};
    curve.dashed = true;
  }
}

}  // namespace

std::vector<Protocol> protocols_of(const Comparison& comparison) {
  std::vector<Protocol> protocols = {{}};
  if (comparison.best_epoch) protocols.push_back({ChosenBy::kReported, ", best epoch"});
  return protocols;
}

std::vector<Recipe> missing_trainings(const Recipe& recipe, const StudyRuns& runs, ChosenBy chosen_by) {
  const Recipe choosing = choosing_recipe(recipe);
  nlohmann::json chosen = {{"learning_rate", recipe.train.learning_rate.front()},
                           {"head_learning_rate", recipe.train.head_learning_rate.front()}};
  std::vector<Recipe> missing;
  if (runs.finished(choosing)) {
    const auto file = runs.folder_of(choosing) / "result.json";
    chosen = chosen_setting(parse_json(read_text_file(file), file.string()), chosen_by);
  } else {
    missing.push_back(choosing);
  }
  for (Recipe& repeating : repeating_recipes(recipe, chosen)) {
    if (!runs.finished(repeating)) missing.push_back(std::move(repeating));
  }
  return missing;
}

std::vector<Chart> score_charts(const std::vector<ArmScores>& scores) {
  std::vector<std::string> tasks;
  for (const ArmScores& each : scores) {
    if (std::find(tasks.begin(), tasks.end(), each.task) == tasks.end()) tasks.push_back(each.task);
  }
  std::vector<Chart> charts;
  charts.reserve(tasks.size());
  for (const std::string& task : tasks) {
    Chart chart{.title = task, .x_label = "trained parameters, without the head", .logarithmic_x = true};
    for (const ArmScores& each : scores) {
      if (each.task != task || each.scores.empty()) continue;
      chart.y_label = each.metric;
      const std::string group = each.arm.group.empty() ? each.arm.name : each.arm.group;
      auto curve = std::find_if(chart.curves.begin(), chart.curves.end(),
                                [&](const Curve& other) { return other.name == group; });
      if (curve == chart.curves.end()) curve = chart.curves.insert(curve, {.name = group});
      const Estimate mean = estimate_mean(each.scores);
      const bool own = each.arm.group.empty() || each.arm.name == each.arm.group;
      const bool prefixed = each.arm.name.starts_with(group + " ");
      curve->points.push_back({static_cast<double>(each.parameters), mean.mean, mean.error.value_or(0),
                               own ? "" : each.arm.name.substr(prefixed ? group.size() + 1 : 0)});
    }
    for (Curve& curve : chart.curves) {
      std::sort(curve.points.begin(), curve.points.end(),
                [](const ChartPoint& x, const ChartPoint& y) { return x.x < y.x; });
    }
    lay_levels(chart);
    charts.push_back(std::move(chart));
  }
  return charts;
}

ArmScores train_arm(const Study& study, StudyRuns& runs, const std::filesystem::path& path, const Arm& arm,
                    ChosenBy chosen_by) {
  const Recipe recipe = study_recipe(study, runs.request(), path, arm.changes);
  const Recipe choosing = choosing_recipe(recipe);
  const nlohmann::json rates = runs.result(choosing, concat(arm.name, ", rates"));
  const nlohmann::json& chosen = chosen_setting(rates, chosen_by);
  ArmScores scores{.task = rates.at("task"),
                   .metric = rates.at("metric"),
                   .arm = arm,
                   .parameters = rates.at("trained_parameters"),
                   .file_bytes = rates.at("adapter_bytes"),
                   .learning_rate = chosen.at("learning_rate"),
                   .head_learning_rate = chosen.at("head_learning_rate"),
                   .seconds_per_thousand = 1000 / std::max(1e-9, rates.at("sentences_per_second").get<double>()),
                   .runs = {runs.folder_of(choosing)}};
  take_scores(chosen, chosen_by, scores.scores);
  for (const Recipe& repeating : repeating_recipes(recipe, chosen)) {
    const nlohmann::json repeated = runs.result(repeating, concat(arm.name, ", seeds"));
    take_scores(repeated.at("settings").at(0), chosen_by, scores.scores);
    scores.runs.push_back(runs.folder_of(repeating));
  }
  return scores;
}

ResultTable comparison_table(const std::vector<ArmScores>& scores, const Comparison& comparison) {
  ResultTable table{.columns = {{"task"},
                                {"method"},
                                {"parameters"},
                                {"file bytes"},
                                {"learning rate"},
                                {"head learning rate"},
                                {"metric"},
                                {"seeds"},
                                {"median"},
                                {"standard deviation"},
                                {"mean", true},
                                {"compared with"},
                                {"difference", true},
                                {"conclusion"}}};
  table.rows.reserve(scores.size());
  for (const ArmScores& each : scores) {
    std::vector<double> values;
    values.reserve(each.scores.size());
    for (const auto& [seed, score] : each.scores) values.push_back(score);
    const Estimate mean = estimate_mean(each.scores);
    std::vector<ResultCell> row = {each.task,
                                   each.arm.name,
                                   static_cast<double>(each.parameters),
                                   static_cast<double>(each.file_bytes),
                                   each.learning_rate,
                                   each.head_learning_rate,
                                   each.metric,
                                   static_cast<double>(values.size()),
                                   values.empty() ? ResultCell() : ResultCell(median(values)),
                                   ResultCell(standard_deviation(values)),
                                   values.empty() ? ResultCell() : ResultCell(mean.mean, mean.error)};
    const std::vector<std::string> references = references_of(each, comparison);
    const ArmScores* other = references.empty() ? nullptr : find_arm(scores, each.task, references.front());
    const Estimate difference = other == nullptr ? Estimate() : paired_difference(each.scores, other->scores);
    if (difference.count == 0) {
      row.resize(row.size() + 3);
    } else {
      row.emplace_back(references.front());
      row.emplace_back(difference.mean, difference.error);
      row.emplace_back(conclusion(difference, each.metric));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string conclusion(const Estimate& difference, const std::string& metric) {
  if (!difference.told()) return "cannot be told";
  return (difference.mean > 0) != lower_is_better(metric) ? "better" : "worse";
}

std::string told_difference(const Estimate& difference, const std::string& metric, const std::string& over) {
  char text[80];
  const bool share = is_share(metric);
  const double unit = share ? 100 : 1;
  if (difference.error) {
    std::snprintf(text, sizeof text, share ? "%+.2f ± %.2f points" : "%+.4f ± %.4f", unit * difference.mean,
                  unit * *difference.error);
  } else {
    std::snprintf(text, sizeof text, share ? "%+.2f points" : "%+.4f", unit * difference.mean);
  }
  return concat(text, " (", difference.count, " ", over,
                difference.count == 1 ? "): " : "s): ", conclusion(difference, metric),
                difference.told() ? "" : " here");
}

std::string comparison_answer(const std::vector<ArmScores>& scores, const Comparison& comparison) {
  std::string answer;
  for (const ArmScores& each : scores) {
    for (const std::string& reference : references_of(each, comparison)) {
      const ArmScores* other = find_arm(scores, each.task, reference);
      if (other == nullptr || other->scores.empty()) continue;
      answer += concat(answer.empty() ? "" : "\n", each.task, ": ", each.arm.name, " against ", reference, ": ",
                       told_difference(paired_difference(each.scores, other->scores), each.metric), ".");
    }
  }
  return answer.empty() ? "Nothing is compared yet." : answer;
}

std::vector<ArmScores> run_comparison(const Study& study, const StudyRequest& request, const Comparison& comparison) {
  const std::vector<std::filesystem::path> recipes = study_recipes(study, request);
  for (const std::filesystem::path& recipe : recipes) study_recipe(study, request, recipe, {});  // refused before any
  const std::vector<Protocol> protocols = protocols_of(comparison);
  const size_t count = protocols.size() * recipes.size() * comparison.arms.size();
  StudyRuns runs(study, request, 2 * count);
  std::vector<ArmScores> scores;
  scores.reserve(count);
  for (const Protocol& protocol : protocols) {
    for (const std::filesystem::path& recipe : recipes) {
      for (const Arm& arm : comparison.arms) {
        const Recipe asked = study_recipe(study, request, recipe, arm.changes);
        if (request.trained_only && !missing_trainings(asked, runs, protocol.chosen_by).empty()) continue;
        scores.push_back(train_arm(study, runs, recipe, arm, protocol.chosen_by));
        scores.back().task += protocol.suffix;
        if (request.on_part) {
          request.on_part(
              {comparison_table(scores, comparison), comparison_answer(scores, comparison), score_charts(scores)});
        }
      }
    }
  }
  return scores;
}

StudyFindings compare(const Study& study, const StudyRequest& request, const Comparison& comparison) {
  const std::vector<ArmScores> scores = run_comparison(study, request, comparison);
  const size_t all = protocols_of(comparison).size() * study_recipes(study, request).size() * comparison.arms.size();
  return {comparison_table(scores, comparison), comparison_answer(scores, comparison), score_charts(scores),
          scores.size() == all};
}

}  // namespace loraxs
