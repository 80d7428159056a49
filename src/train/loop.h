// train/loop.h: training: next batch, forward, loss, backward, step, report.
#pragma once
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "adapt/adapted_model.h"
#include "adapt/adapter_file.h"
#include "data/encoded.h"
#include "data/task.h"
#include "train/checkpoint.h"
#include "train/job.h"
#include "train/run_folder.h"
#include "train/start_row.h"

namespace loraxs {

/// What the loop tells whoever watches; called after every step.
struct StepReport {
  int64_t step = 0, total_steps = 0;
  int64_t epoch = 0, epochs = 0;
  double loss = 0;  // mean over jobs of this step's loss
  double sentences_per_second = 0, tokens_per_second = 0;
  double seconds_left = 0;
};

/// After every evaluation, once per job.
struct EpochReport {
  int64_t epoch = 0;
  std::string job;
  double train_loss = 0;
  double value = 0;  // the metric on the examples that choose
  bool best = false;
};

/// What a job answered to one of the recipe's prompts after an evaluation.
struct TrainSample {
  int64_t slot = 0;  // the job's number
  std::string prompt, text;
};

struct TrainObserver {
  std::function<void(const StepReport&)> on_step;
  std::function<void(const EpochReport&)> on_epoch;
  std::function<void(const std::string& job, const TrainSample&)> on_sample;
  std::function<void(const std::string& job, const JobEnd&)> on_end;  // a job alone; the others go on
  std::function<bool()> stop_requested;  // asked before every step; true: save and throw Interrupted
};

/// Thrown after the state was saved.
struct Interrupted final : std::exception {
  explicit Interrupted(int64_t at) : step(at) {}
  int64_t step = 0;
};

/// All that a run needs, made by whoever wires it.
struct TrainSetup {
  const Recipe& recipe;
  const BaseModel& model;
  std::shared_ptr<const Basis> basis;
  const EncodedExamples& train;
  const EncodedExamples& validation;
  Layout layout;                    // of every job's row
  std::vector<std::string> labels;  // of its head's classes
  std::string task_name, metric;
  TaskKind kind = TaskKind::kClassification;
  AdapterProvenance provenance;
  torch::ScalarType dtype = torch::kFloat32;
  torch::Device device = torch::kCPU;
  int64_t activation_limit = -1;  // bytes, see Backbone::limit_activations
  std::optional<StartRow> start;  // of every job; else fresh rows
  /// Answers the recipe's prompts with the rows of `slots`; empty: there are none. Nothing in it may depend on or
  /// change the training.
  std::function<std::vector<TrainSample>(AdaptedModel& model, const std::vector<int64_t>& slots)> answer_samples;
};

struct JobResult {
  Job job;
  BestEpoch best;  // epoch 0 and value 0 without examples that choose, and where no score was a number
  double last_loss = 0;
  std::optional<JobEnd> ended;  // a loss, gradient or row that is not finite
  bool has_adapter = true;      // false: it ended before an evaluation chose a row
};

struct TrainResult {
  bool selected = false;  // some examples chose epochs; else the last rows are the best
  std::vector<JobResult> jobs;
  Layout layout;
  double train_seconds = 0;  // steps alone
  int64_t sentences = 0, tokens = 0;
  int64_t steps = 0;
  int64_t adapter_bytes = 0;  // of one file
};

/// Trains all jobs of the recipe as one bank and writes the run folder: metrics, checkpoints, best and last adapters.
/// With a checkpoint in the folder it continues from there and gives the same bits as an uninterrupted run. A job whose
/// numbers are not finite ends alone, and no bit of the others depends on it; Error, after saving, when all have ended
/// so.
TrainResult train(const TrainSetup& setup, RunFolder& folder, bool allow_drift, const TrainObserver& observer);

}  // namespace loraxs
