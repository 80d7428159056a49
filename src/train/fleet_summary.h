// train/fleet_summary.h: what came out of a fleet: counts, rates, and how its jobs' scores are spread.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "train/fleet.h"

namespace loraxs {

/// The last line of `train --json` of a fleet, and its result.json. `lines` is its jobs.jsonl: `score` there is the
/// metric's key, of jobs with validation examples.
nlohmann::json summarize_fleet(const FleetCounts& counts, const std::filesystem::path& lines, const std::string& score);

/// report.html of the run's folder: counts, how scores are spread over jobs, what failed, the recipe.
void write_fleet_report(const std::filesystem::path& run, const nlohmann::json& summary);

/// The same for people.
std::string fleet_text(const nlohmann::json& summary);

}  // namespace loraxs
