#include "train/state_json.h"

#include <cmath>
#include <limits>
#include <vector>

#include "io/error.h"

namespace loraxs {
namespace {

/// JSON has no numbers that are not finite: they are "nan", "inf" and "-inf".
nlohmann::json number_to_json(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

double number_from_json(const nlohmann::json& json) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (json.is_null()) return std::numeric_limits<double>::quiet_NaN();  // as checkpoint-2 wrote all three
  if (json == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (json == "inf" || json == "-inf") return json == "inf" ? kInfinity : -kInfinity;
  return json.get<double>();
}

nlohmann::json optional_to_json(const std::optional<double>& value) {
  return value ? number_to_json(*value) : nlohmann::json();
}

nlohmann::json to_json(const BestEpoch& best) {
  return {{"step", best.step},
          {"epoch", best.epoch},
          {"value", number_to_json(best.value)},
          {"validation", optional_to_json(best.validation)},
          {"best_validation", optional_to_json(best.best_validation)},
          {"stale", best.stale}};
}

BestEpoch best_from_json(const nlohmann::json& json) {
  BestEpoch best{.step = json.at("step"),
                 .epoch = json.at("epoch"),
                 .value = number_from_json(json.at("value")),
                 .stale = json.at("stale")};
  if (!json.at("validation").is_null()) best.validation = number_from_json(json.at("validation"));
  const nlohmann::json best_validation = json.value("best_validation", nlohmann::json());  // not in older ones
  if (!best_validation.is_null()) best.best_validation = number_from_json(best_validation);
  return best;
}

nlohmann::json to_json(const std::optional<JobEnd>& end) {
  return end ? nlohmann::json{{"step", end->step}, {"reason", end->reason}} : nlohmann::json();
}

std::optional<JobEnd> end_from_json(const nlohmann::json& json) {
  if (json.is_null()) return std::nullopt;
  return JobEnd{.step = json.at("step"), .reason = json.at("reason")};
}

/// What state.json keeps per job: an array each, with an entry for every job.
struct JobColumn {
  const char* name;
  nlohmann::json (*write)(const JobState&);
  void (*read)(JobState&, const nlohmann::json&);
  bool since_3 = false;  // checkpoint-2 does not have it
};

template <double JobState::*Member>
JobColumn number_column(const char* name, bool since_3 = false) {
  return {name, [](const JobState& job) { return number_to_json(job.*Member); },
          [](JobState& job, const nlohmann::json& json) { job.*Member = number_from_json(json); }, since_3};
}

const std::vector<JobColumn>& job_columns() {
  static const std::vector<JobColumn> all = {
      {"best", [](const JobState& job) { return to_json(job.best); },
       [](JobState& job, const nlohmann::json& json) { job.best = best_from_json(json); }},
      {"ended", [](const JobState& job) { return to_json(job.ended); },
       [](JobState& job, const nlohmann::json& json) { job.ended = end_from_json(json); }, /*since_3=*/true},
      {"job_steps", [](const JobState& job) { return nlohmann::json(job.step); },
       [](JobState& job, const nlohmann::json& json) { job.step = json; }},
      number_column<&JobState::loss_sum>("loss_sums"),
      number_column<&JobState::epoch_loss>("epoch_losses"),
      number_column<&JobState::last_loss>("last_losses", /*since_3=*/true)};
  return all;
}

}  // namespace

nlohmann::json state_to_json(const TrainingState& state) {
  nlohmann::json json = {{"step", state.step},
                         {"loss_steps", state.loss_steps},
                         {"metrics_bytes", state.metrics_bytes},
                         {"train_seconds", state.train_seconds},
                         {"sentences", state.sentences},
                         {"tokens", state.tokens}};
  for (const JobColumn& column : job_columns()) {
    nlohmann::json& entries = json[column.name] = nlohmann::json::array();
    for (const JobState& job : state.jobs) entries.push_back(column.write(job));
  }
  return json;
}

nlohmann::json job_state_to_json(const JobState& job) {
  nlohmann::json json = nlohmann::json::object();
  for (const JobColumn& column : job_columns()) json[column.name] = column.write(job);
  return json;
}

JobState job_state_from_json(const nlohmann::json& json) {
  JobState job;
  for (const JobColumn& column : job_columns()) column.read(job, json.at(column.name));
  return job;
}

TrainingState state_from_json(const nlohmann::json& json, const TrainingState& fresh, const std::string& where) {
  TrainingState state;
  state.step = json.at("step");
  state.jobs.resize(fresh.jobs.size());
  for (const JobColumn& column : job_columns()) {
    if (column.since_3 && !json.contains(column.name)) continue;
    const auto& entries = json.at(column.name).get_ref<const nlohmann::json::array_t&>();
    if (entries.size() != state.jobs.size()) {
      throw Error(concat(where, ": ", column.name, ": expected ", state.jobs.size(), " entries, one per job, found ",
                         entries.size()));
    }
    for (size_t j = 0; j < entries.size(); ++j) column.read(state.jobs[j], entries[j]);
  }
  state.loss_steps = json.at("loss_steps");
  state.metrics_bytes = json.at("metrics_bytes");
  state.train_seconds = json.at("train_seconds");
  state.sentences = json.at("sentences");
  state.tokens = json.at("tokens");
  return state;
}

}  // namespace loraxs
