// api/training.h: a recipe and a task wired to model, tokenizer and basis: what `loraxs train` runs.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "api/samples.h"
#include "api/settings.h"
#include "data/encoded.h"
#include "data/task.h"
#include "train/loop.h"
#include "train/recipe.h"

namespace loraxs {

/// The task of a recipe's `task` section, its files read. `where` starts errors: the recipe's file.
Task recipe_task(const Recipe& recipe, const std::string& where);

/// The recipe's model, ready to be trained on: its dropout as the recipe says. Throws Error.
BaseModel open_for_training(const Recipe& recipe, Settings settings, const std::string& where);

struct RunOptions {
  bool resume = false;       // continue from the newest checkpoint, or start if there is none
  bool allow_drift = false;  // resume although threads or GEMM backend differ
};

/// One run of a recipe. Nothing is written before run(). Belongs to one thread; others may run beside it.
class TrainingRun {
 public:
  /// Opens the model and encodes the task's texts; a task made in memory needs no `recipe.task`. Throws Error.
  TrainingRun(Recipe recipe, const Task& task, Settings settings, const std::string& where = "recipe");
  TrainingRun(const TrainingRun&) = delete;  // setup() refers to the members
  TrainingRun& operator=(const TrainingRun&) = delete;

  const TrainSetup& setup() const { return setup_; }

  /// The basis of the recipe's sites, computed when it is first asked for: before run(), where that takes a while. An
  /// adapter to start from brings its own where that travels, and is checked against it.
  const Basis& basis();

  /// Trains every job and writes the run folder `recipe.output`. Throws Error when it exists and is not resumed, and
  /// Interrupted after saving when the observer asks to stop.
  TrainResult run(const TrainObserver& observer = {}, const RunOptions& options = {});

  /// The adapter of a job's best epoch: where run() writes it.
  std::filesystem::path best_adapter(const Job& job) const;

 private:
  int64_t activation_limit() const;
  /// LoRA-SB: where basis and start of the run lie in its folder.
  std::filesystem::path gradient_start_path() const;
  /// Fills basis and start from there, or from the task's gradient.
  void start_from_gradient();
  void start_from_inputs();
  /// Basis and start that a run folder must keep, beside its adapters.
  void write_start() const;
  /// Beside the adapter of each job's best epoch, where that holds the weights themselves, the model folder they make.
  void write_merged(const TrainResult& result) const;

  Recipe recipe_;
  Settings settings_;
  std::string where_;
  BaseModel model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<SamplePrompts> samples_;
  std::shared_ptr<const EncodedExamples> train_;
  TrainSetup setup_;
};

}  // namespace loraxs
