#include "train/task_gradient.h"

#include <memory>
#include <optional>

#include "batch/token_budget.h"
#include "eval/score.h"
#include "model/backbone.h"
#include "model/head.h"
#include "model/language_head.h"
#include "model/weight_gradients.h"
#include "train/objective.h"

namespace loraxs {
namespace {

RowTensor head_row(const Bank& bank, const std::string& name) {
  const LayoutSegment* segment = bank.layout.find(name);
  if (segment == nullptr) return {};
  return {.values = bank.values, .adapter = 0, .offset = segment->offset, .shape = segment->shape};
}

HeadSegment head_segment(const Bank& bank, int64_t sequences) {
  return {.begin = 0,
          .end = sequences,
          .dense_weight = head_row(bank, "head.dense.weight"),
          .dense_bias = head_row(bank, "head.dense.bias"),
          .classifier_weight = head_row(bank, "head.classifier.weight"),
          .classifier_bias = head_row(bank, "head.classifier.bias")};
}

}  // namespace

TaskGradient task_gradient(const BaseModel& model, const Bank& head, const EncodedExamples& examples, bool regression) {
  BaseModel quiet = model;
  quiet.config.disable_dropout();
  const bool decoder = model.architecture->kind == ModelKind::kDecoder;
  const std::unique_ptr<Backbone> backbone = make_backbone(quiet, torch::kFloat32, torch::kCPU);
  WeightGradients weights(quiet, backbone->groups(), torch::kFloat32);
  std::optional<ClassificationHead> classifier;
  std::optional<LanguageHead> language;
  if (decoder) {
    language.emplace(quiet, torch::kFloat32, torch::kCPU, /*training=*/true, WeightMemory::kNormal);
  } else {
    classifier.emplace(quiet, torch::kFloat32, torch::kCPU);
  }
  std::vector<Sequence> sequences;
  sequences.reserve(examples.size());
  for (int64_t i = 0; i < examples.size(); ++i) sequences.push_back(examples.sequence(i, /*slot=*/0));
  weigh_step(sequences);
  TaskGradient gradient;
  for (const std::vector<int64_t>& indices : batches_by_tokens(examples.lengths(), kTokensPerBatch)) {
    std::vector<Sequence> chosen;
    chosen.reserve(indices.size());
    for (const int64_t index : indices) chosen.push_back(sequences[index]);
    const PackedBatch batch = pack(chosen);
    const BatchTensors tensors = make_batch_tensors(batch, torch::kCPU);
    const torch::Tensor hidden = backbone->forward(tensors, weights, /*training=*/true, nullptr);
    torch::Tensor total;
    if (decoder) {
      std::vector<double> asked;  // loss weight of every asked row
      for (int64_t s = 0; s < batch.num_sequences(); ++s) {
        asked.insert(asked.end(), batch.asked_starts[s + 1] - batch.asked_starts[s], batch.loss_weights[s]);
      }
      total = language->loss(hidden, tensors.target_ids, torch::tensor(asked, torch::kFloat32)).total;
    } else {
      const torch::Tensor logits = classifier->forward(hidden, {}, {head_segment(head, batch.num_sequences())},
                                                       head.layout.head.outputs, tensors.asked_keys, /*training=*/true);
      total = objective(logits, batch, regression).total;
    }
    gradient.loss += total.item<double>();
    total.backward();
  }
  for (const ProjectionGroup& group : backbone->groups()) {
    for (const Site& site : group.sites) gradient.weights[site.name] = weights.gradient(site.name).contiguous();
  }
  return gradient;
}

}  // namespace loraxs
