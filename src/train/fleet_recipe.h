// train/fleet_recipe.h: section `fleet` of a recipe, and what one of its jobs may have in place of the recipe's values.
#pragma once
#include <cstdint>
#include <string>

#include "io/fields.h"
#include "train/recipe.h"

namespace loraxs {

/// Many users' adapters in one process: where the users come from and where their adapters go.
struct FleetRecipe {
  std::string jobs;                // .jsonl with a job a line, or a folder with a file per job
  std::string store;               // where finished adapters go
  int64_t slots = 0;               // jobs that train at a time; 0 = auto
  int64_t tokens_per_step = 1024;  // pieces of different jobs together: memory and speed, no bit
  double validation = 0.2;         // of each job's examples, held out
  std::string start = "fresh";     // where jobs start: see api/fleet_starts.h
  std::string init_head;           // fresh | carry; empty: carry for own, else fresh
  bool stop_on_error = false;      // on_error: stop | continue
  bool keep_finished = false;      // finished: keep | train: jobs whose newest adapter is this very job's
};

/// Throws Error with `where` for what is wrong in the section, and for a recipe whose `train` names several seeds or
/// rates, or whose method needs more of a job than its row.
FleetRecipe parse_fleet(const Recipe& recipe, const std::string& where);

/// A job's own training: what `job` has of the keys in which rows of one bank may differ, else the recipe's; `seed` for
/// `seeds`. Reads those keys. Throws Error naming any other key of a recipe, and why it is one for all.
TrainRecipe parse_job_train(Fields& job, const TrainRecipe& train);

}  // namespace loraxs
