#include "train/task_gradient.h"

#include <memory>

#include "batch/token_budget.h"
#include "train/training_loss.h"

namespace loraxs {
namespace {

/// Full fine-tuning of all projections that never takes a step: a row of their weights, and the head of `head`.
std::shared_ptr<Bank> weights_of(const BaseModel& model, const Bank& head) {
  const std::vector<Site> sites = list_sites(*model.architecture, model.config);
  const Layout layout = make_layout("full", sites, /*rank=*/0, head.layout->head, model.config.hidden_size, "gradient");
  auto bank = std::make_shared<Bank>(make_bank(layout, /*alpha=*/1, /*adapters=*/1));
  initialize_row(*bank, 0, {.model = &model}, /*head_std=*/0, {});
  const int64_t head_numbers = layout.row_size - layout.adapter_numbers;
  bank->values[0]
      .narrow(0, layout.adapter_numbers, head_numbers)
      .copy_(head.values[0].narrow(0, head.layout->adapter_numbers, head_numbers));
  bank->gradients = torch::zeros_like(bank->values);
  return bank;
}

}  // namespace

TaskGradient task_gradient(const BaseModel& model, const Bank& head, const ExampleView& examples) {
  BaseModel quiet = model;
  quiet.config.disable_dropout();
  const std::shared_ptr<Bank> bank = weights_of(quiet, head);
  AdaptedModel adapted(quiet, nullptr, AdapterSet::of_bank(bank), torch::kFloat32);
  std::vector<Sequence> sequences;
  sequences.reserve(examples.size());
  for (int64_t i = 0; i < examples.size(); ++i) sequences.push_back(examples.sequence(i, /*slot=*/0));
  weigh_step(sequences);
  TaskGradient gradient;
  for (const std::vector<int64_t>& indices : batches_by_tokens(examples.lengths(), kTokensPerBatch)) {
    std::vector<Sequence> chosen;
    chosen.reserve(indices.size());
    for (const int64_t index : indices) chosen.push_back(sequences[index]);
    const ObjectiveValue value = training_loss(adapted, pack(chosen));
    gradient.loss += value.total.item<double>();
    value.total.backward();
  }
  for (const Site& site : bank->layout->sites) {
    const LayoutSegment& segment = *bank->layout->part(site, "weight");
    gradient.weights[site.name] = bank->gradients[0].narrow(0, segment.offset, segment.numel()).view(segment.shape);
  }
  return gradient;
}

}  // namespace loraxs
