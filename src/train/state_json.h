// train/state_json.h: what state.json of a checkpoint says: a run's counters, and its jobs beside their rows.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "train/checkpoint.h"

namespace loraxs {

nlohmann::json state_to_json(const TrainingState& state);
/// One job's by itself.
nlohmann::json job_state_to_json(const JobState& job);
JobState job_state_from_json(const nlohmann::json& json);

/// A state without rows, of as many jobs as `fresh`. Throws Error with `where` for another number of them, nlohmann's
/// exceptions for other types than are written.
TrainingState state_from_json(const nlohmann::json& json, const TrainingState& fresh, const std::string& where);

}  // namespace loraxs
