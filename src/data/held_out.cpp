#include "data/held_out.h"

#include <cmath>

#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {

ValidationSource read_validation(Fields& fields, bool has_train) {
  if (!fields.has("validation")) return {};
  const nlohmann::json value = fields.raw("validation");
  if (value.is_string()) return {.file = value.get<std::string>()};
  if (!value.is_number() || !(value.get<double>() >= 0 && value.get<double>() < 1) || !has_train) {
    fields.fail("validation", concat("expected a file, or the part of train that is held out (0 to below 1), found ",
                                     json_text(value)));
  }
  return {.part = value.get<double>()};
}

void hold_out(Task& task, double part, const Fields& fields) {
  const auto size = static_cast<int64_t>(task.train.size());
  if (part == 0 || size == 0) return;
  const auto held = static_cast<int64_t>(std::ceil(part * static_cast<double>(size)));
  if (held == size) {
    fields.fail("validation", concat("expected a part of ", size, " training examples that leaves some, found ", part));
  }
  std::vector<bool> validates(task.train.size());
  const std::vector<int64_t> order = permutation(size, derive_seed(0, "hold out"));
  for (int64_t i = 0; i < held; ++i) validates[order[i]] = true;
  std::vector<Example> train;
  for (size_t i = 0; i < task.train.size(); ++i) {
    (validates[i] ? task.validation : train).push_back(std::move(task.train[i]));
  }
  task.train = std::move(train);
}

}  // namespace loraxs
