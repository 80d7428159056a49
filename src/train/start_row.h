// train/start_row.h: a run that starts from an adapter instead of fresh rows: MNLI before MRPC, RTE and STS-B; and
// LoRA-SB's start from a gradient.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "adapt/adapter_file.h"
#include "train/recipe.h"

namespace loraxs {

/// What every job starts with: R of all sites, and the head where it is carried too.
struct StartRow {
  std::filesystem::path path;
  std::string task;           // that the adapter was trained on
  std::string row_digest;     // of the file's row
  torch::Tensor numbers;      // [adapter_numbers or row_size] float32: the first numbers of a row
  int64_t num_sites = 0;      // whose R is carried
  bool carries_head = false;  // else each job draws its own
  int64_t warmup_steps = 0;   // > 0: numbers are a step of size 1, taken at the learning rate of the first of these

  /// The numbers for a job of this learning rate.
  torch::Tensor numbers_at(double learning_rate) const;
  /// What is carried and what is fresh, for metrics, the result and the adapter's own summary.
  nlohmann::json to_json() const;
};

/// What a row must fit to be started from, and the keys of errors.
struct StartWanted {
  const Layout& layout;
  const std::vector<std::string>& labels;
  double alpha = 16;
  const BaseModel& model;
  const Basis& basis;
  bool carries_head = false;  // then head and labels must fit too
  std::string where, key, head_key;
};
/// Throws Error where base, basis, sites, ranks, alpha, or a head to carry, are others.
StartRow start_row_of(const AdapterFile& file, const StartWanted& wanted);

/// Reads `train.init_adapter`; nothing if the recipe has none. Base, basis, sites, ranks and alpha must be the run's,
/// and for `init_head: carry` the head and the names of its classes (`labels`) too; throws Error with `where` (the
/// recipe's file) otherwise.
std::optional<StartRow> read_start_row(const Recipe& recipe, const Layout& layout,
                                       const std::vector<std::string>& labels, const BaseModel& model,
                                       const Basis& basis, const std::string& where);

}  // namespace loraxs
