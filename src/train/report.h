// train/report.h: report.html of a run: curves, sizes, settings, samples, recipe. One self-contained page.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace loraxs {

/// What an evaluation's score is called in metrics.jsonl: `loss` there is the training's.
inline std::string score_key(const std::string& metric) { return metric == "loss" ? "validation_loss" : metric; }

/// Reads metrics.jsonl and recipe.yaml of `run` (and of `beside`, if not empty: a run to compare with, such as the head
/// alone) and writes report.html, atomically. `done` is the last line of train --json; `notes` are further table rows.
void write_run_report(const std::filesystem::path& run, const nlohmann::json& done, const std::filesystem::path& beside,
                      const std::vector<std::pair<std::string, std::string>>& notes);

}  // namespace loraxs
