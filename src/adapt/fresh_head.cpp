#include "adapt/fresh_head.h"

namespace loraxs {

std::optional<HeadDense> pretrained_dense(const BaseModel& model) {
  const std::string name = model.architecture->head.dense;
  if (!model.has(name + ".weight")) return {};
  return HeadDense{model.weight(name + ".weight"), model.weight(name + ".bias")};
}

Bank fresh_head(const BaseModel& model, const HeadLayout& head, uint64_t job_key) {
  Bank bank = make_bank(make_layout("lora_xs", {}, std::vector<int64_t>(), head, model.config.hidden_size, "head"),
                        /*alpha=*/1, 1);
  initialize_row(bank, 0, {.job_seed = job_key}, model.config.initializer_range, pretrained_dense(model));
  return bank;
}

}  // namespace loraxs
