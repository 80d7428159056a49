// train/summary.h: what came out of a run: the paper's selection over epochs, seeds and settings.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "train/train_result.h"
#include "train/train_setup.h"

namespace loraxs {

double median(std::vector<double> values);  // of at least one value
/// Sample standard deviation (n − 1); nothing for fewer than two values.
std::optional<double> standard_deviation(const std::vector<double>& values);

/// The last line of `train --json`, and result.json of the run folder: per job the best epoch, per setting of the grid
/// the median over seeds, and of the settings the best (the first of equals). Where a held-out part of the training
/// data chose, `value` is the validation score of what was chosen and `selection_value` what it was chosen by.
nlohmann::json summarize_run(const TrainSetup& setup, const TrainResult& result);

/// The same for people: every setting of a grid, the chosen one, sizes, where the run started.
std::string summary_text(const nlohmann::json& summary);

}  // namespace loraxs
