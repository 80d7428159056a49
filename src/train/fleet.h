// train/fleet.h: many users' jobs through a few rows: they join and leave between steps, each as if it were alone.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/append_file.h"
#include "train/evaluation.h"
#include "train/fleet_job.h"
#include "train/fleet_recipe.h"
#include "train/fleet_state.h"
#include "train/fleet_store.h"
#include "train/job_run.h"
#include "train/run_folder.h"
#include "train/step_engine.h"
#include "train/train_setup.h"

namespace loraxs {

/// How far a fleet has come.
struct FleetCounts {
  int64_t jobs = 0;
  int64_t done = 0;    // trained to their end, the kept ones included
  int64_t kept = 0;    // trained before: their newest adapter is what they would train
  int64_t failed = 0;  // recorded with their sentence
  int64_t active = 0;
  int64_t rounds = 0;
  int64_t steps = 0;  // of all jobs
  int64_t sentences = 0, tokens = 0;
  double seconds = 0;  // of rounds

  int64_t waiting() const { return jobs - done - failed - active; }
};

struct FleetObserver {
  std::function<void(const FleetCounts&)> on_round;
  std::function<void(const FleetMember&, const std::string& reason)> on_failure;
};

/// The base as all jobs of `setup` need it.
std::shared_ptr<PreparedModel> prepare_fleet_base(const TrainSetup& setup);

/// A fleet between two rounds. In each round every active job makes one optimizer step of its own; a job that ends is
/// scored on its own examples, hands its row over and leaves its place to the next. A job's row does not depend on who
/// else is there, nor on the order of the jobs or the number of rows, where rows of the GEMM do not (`loraxs doctor`).
/// Memory follows from the active jobs, not from all. Belongs to one thread.
class Fleet {
 public:
  /// `setup` is what all jobs share; its layout, labels, start and examples are the jobs' own. `base`: as
  /// prepare_fleet_base makes it of such a setup; several fleets may share it, one at a time. All must outlive this.
  /// Goes on from a checkpoint in `folder`, if there is one: the same adapters, bit for bit. Throws Error as
  /// read_newest_checkpoint_folder, and where the active jobs' examples have changed.
  Fleet(const TrainSetup& setup, const FleetRecipe& recipe, std::shared_ptr<PreparedModel> base, JobSource& source,
        FleetStore& store, RunFolder& folder, bool allow_drift, FleetObserver observer);

  /// One round. False: all jobs have ended, and what they left is in the store. Throws Error when a job has failed and
  /// the recipe says `on_error: stop`, or when something cannot be written; the state is saved then.
  bool step();
  /// Writes the state, and hands finished rows over.
  void save();

  [[nodiscard]] FleetCounts counts() const;

 private:
  /// A job in training.
  struct Active {
    FleetJob origin;  // its examples are the run's
    std::shared_ptr<const Layout> layout;
    torch::Tensor best;  // [row]
    RankMemory ranks;
    FleetCurve curve;
    JobRun run;
  };
  using Clock = std::chrono::steady_clock;

  void restore(bool allow_drift);
  [[nodiscard]] RunIdentity make_identity() const;
  /// Fills free rows with the next jobs.
  void take_in();
  Active& join(FleetJob&& job);
  std::shared_ptr<const Layout> layout_of(const HeadLayout& head) const;
  void train_round();
  void evaluate();
  /// Those that are done leave.
  void retire();
  void finish(Active& job);
  void keep(const FleetKept& job);
  void fail(const FleetMember& member, const std::string& reason);
  void append(const FleetMember& member, nlohmann::json line);

  const TrainSetup& setup_;
  const FleetRecipe& recipe_;
  JobSource& source_;
  FleetStore& store_;
  RunFolder& folder_;
  FleetObserver observer_;
  int64_t slots_;
  std::unique_ptr<AdaptedModel> model_;
  std::unique_ptr<StepEngine> engine_;
  std::unique_ptr<Evaluation> evaluation_;
  std::unique_ptr<AppendFile> lines_;  // jobs.jsonl
  std::list<Active> active_;
  std::vector<FinishedRow> finished_;  // not handed over yet
  int64_t finished_numbers_ = 0;
  RunIdentity identity_;
  FleetProgress progress_;
  bool exhausted_ = false;  // no job is waiting
  std::string stopped_by_;  // the failure that ends the fleet, where on_error says so
  Clock::time_point saved_ = Clock::now();
};

}  // namespace loraxs
