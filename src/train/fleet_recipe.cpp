#include "train/fleet_recipe.h"

#include "io/error.h"
#include "train/recipe_layout.h"

namespace loraxs {

FleetRecipe parse_fleet(const Recipe& recipe, const std::string& where) {
  Fields fields(recipe.fleet, where, "fleet");
  constexpr int64_t kMostSlots = 100'000;
  FleetRecipe fleet;
  fleet.jobs = fields.text("jobs", "");
  fleet.store = fields.text("store", "");
  const nlohmann::json* slots = fields.peek("slots");
  if (slots != nullptr && *slots == "auto") {
    fields.raw("slots");
  } else {
    fleet.slots = fields.non_negative_int("slots", 0, kMostSlots);
  }
  fleet.tokens_per_step = fields.positive_int("tokens_per_step", fleet.tokens_per_step);
  fleet.validation = fields.fraction("validation", fleet.validation);
  fleet.start = fields.text("start", fleet.start);
  fleet.init_head = fields.choice("init_head", "", {"fresh", "carry"});
  fleet.stop_on_error = fields.choice("on_error", "continue", {"continue", "stop"}) == "stop";
  fleet.keep_finished = fields.choice("finished", "train", {"train", "keep"}) == "keep";
  fields.finish();
  if (fleet.jobs.empty()) fields.fail("jobs", "expected a .jsonl file with a job a line, or a folder, found none");
  if (fleet.store.empty()) fields.fail("store", "expected a folder or a store's URL for the adapters, found none");
  if (fleet.validation == 1) fields.fail("validation", "expected a number from 0 to below 1, found 1");
  const TrainRecipe& train = recipe.train;
  const auto one = [&](const char* key, size_t found) {
    if (found == 1) return;
    throw Error(concat(where, ": train.", key, ": expected one value for a fleet, found ", found,
                       "; a job's line may have a value of its own"));
  };
  one("seeds", train.seeds.size());
  one("learning_rate", train.learning_rate.size());
  one("head_learning_rate", train.head_learning_rate.size());
  if (train.selection == "split") {
    throw Error(concat(where,
                       ": train.selection: expected best_epoch for a fleet, found split; fleet.validation holds "
                       "examples out"));
  }
  if (!train.samples.is_null()) throw Error(concat(where, ": train.samples: expected none for a fleet, found some"));
  if (!train.init_adapter.empty()) {
    throw Error(concat(where, ": train.init_adapter: expected none for a fleet, found ", train.init_adapter,
                       "; say where jobs start with fleet.start"));
  }
  if (starts_from_gradient(recipe)) {
    throw Error(concat(where, ": method.name: expected a method whose basis all jobs share, found ", recipe.method.name,
                       ", whose basis comes from each task's own gradient"));
  }
  if (starts_from_inputs(recipe)) {
    throw Error(concat(where,
                       ": method.basis.variant: expected a basis that all jobs share, found inputs, which come "
                       "from each task's own texts"));
  }
  return fleet;
}

}  // namespace loraxs
