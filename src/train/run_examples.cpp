#include "train/run_examples.h"

#include <algorithm>

#include "io/seeds.h"
#include "train/job.h"

namespace loraxs {

RunExamples choose_examples(const TrainRecipe& recipe, const ExampleView& train, const ExampleView& validation) {
  const int64_t held_out = num_held_out(recipe, train.size());
  if (held_out == 0) return {.train = train, .choosing = validation, .reported = {}};
  std::vector<int64_t> order = permutation(train.size(), derive_seed(0, "selection split"));
  std::sort(order.begin(), order.begin() + held_out);
  std::sort(order.begin() + held_out, order.end());
  const std::span<const int64_t> all(order);
  return {
      .train = train.take(all.subspan(held_out)), .choosing = train.take(all.first(held_out)), .reported = validation};
}

}  // namespace loraxs
