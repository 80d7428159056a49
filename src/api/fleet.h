// api/fleet.h: many users' adapters in one process: a recipe with `fleet:` wired to model, jobs and store.
#pragma once
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "api/fleet_base.h"
#include "api/fleet_jobs.h"
#include "api/settings.h"
#include "api/task_encoder.h"
#include "api/training.h"
#include "train/fleet.h"

namespace loraxs {

/// One fleet of a recipe. Nothing is written before begin(). It can be stepped from outside, between other work: each
/// step() is one round, an optimizer step of every job in training. Belongs to one thread; others may run beside it.
class FleetRun {
 public:
  /// Opens the model and the list of jobs; computes the basis, or takes it from the cache. `base`: of a fleet that has
  /// ended, whose model, basis and prepared weights this one goes on with. Throws Error, for the base of another recipe
  /// too.
  FleetRun(Recipe recipe, Settings settings, const std::string& where = "recipe",
           std::shared_ptr<FleetBase> base = nullptr);
  FleetRun(const FleetRun&) = delete;  // members refer to each other
  FleetRun& operator=(const FleetRun&) = delete;

  [[nodiscard]] const TrainSetup& setup() const { return setup_; }
  [[nodiscard]] const Recipe& recipe() const { return recipe_; }
  [[nodiscard]] const std::shared_ptr<FleetBase>& base() const { return base_; }

  /// Opens run folder and store, and goes on from a checkpoint with `resume`. Throws Error when the folder exists and
  /// is not resumed, and for a list of jobs that has changed since.
  void begin(const FleetObserver& observer = {}, const RunOptions& options = {});
  /// See Fleet. Throws Error before begin().
  bool step();
  void save();
  [[nodiscard]] FleetCounts counts() const;

  /// Counts, rates and the spread of scores over jobs, as `--json` prints them; writes result.json and
  /// report.html.
  nlohmann::json finish();

 private:
  Fleet& fleet();

  Recipe recipe_;
  Settings settings_;
  std::string where_;
  FleetRecipe fleet_recipe_;
  std::shared_ptr<FleetBase> base_;
  TrainSetup setup_;
  std::unique_ptr<TaskEncoder> encoder_;
  std::unique_ptr<FleetStore> store_;
  std::unique_ptr<FleetStarts> starts_;
  std::unique_ptr<FleetJobs> jobs_;  // its thread uses all above
  std::unique_ptr<RunFolder> folder_;
  std::unique_ptr<Fleet> fleet_;
};

}  // namespace loraxs
