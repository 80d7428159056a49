#include "model/head.h"

#include <algorithm>

#include "io/error.h"

namespace loraxs {
namespace {

torch::Tensor drop(const torch::Tensor& x, double probability, DropoutPurpose purpose, const RowKeys& rows) {
  if (probability == 0) return x;
  return x * dropout_mask(Dropout::make(probability, 0, purpose), rows, x.size(1)).to(x.options());
}

}  // namespace

ClassificationHead::ClassificationHead(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device)
    : shape_(model.architecture->head), folder_(model.folder.string()), dropout_(model.config.classifier_dropout) {
  if (!model.has(shape_.dense + ".weight")) return;
  const auto options = torch::TensorOptions().dtype(compute_dtype).device(device);
  frozen_.emplace();
  frozen_->weight = FrozenWeight::packed(model.weight(shape_.dense + ".weight").to(options), /*both_ways=*/true);
  frozen_->bias = model.weight(shape_.dense + ".bias").to(options);
  frozen_->out_features = frozen_->weight.out_features();
}

torch::Tensor ClassificationHead::dense(const torch::Tensor& input, const torch::Tensor& anchor,
                                        const std::vector<HeadSegment>& segments) const {
  const auto dtype = input.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const int64_t hidden = input.size(1);
  std::vector<SlotLinearSegment> own;
  for (const HeadSegment& segment : segments) {
    if (segment.dense_weight.defined()) {
      own.push_back({segment.begin, segment.end, segment.dense_weight, segment.dense_bias});
    } else if (segment.classifier_weight.defined() && !frozen_) {
      throw Error(concat(folder_, ": expected ", shape_.dense_hf,
                         ".weight, which this head reads, found none; train it too with head: ",
                         shape_.dense_pretrained ? "pooler" : "full"));
    }
  }
  if (!frozen_) return slot_linear(input, anchor, own, hidden);
  torch::Tensor frozen = adapted_linear(input, {}, *frozen_, {}).to(dtype);  // [sequences, hidden]
  if (own.empty()) return frozen;
  // A batch holds banks of one head kind as a rule; where some slots train the layer and others do not, both are
  // computed.
  torch::Tensor is_own = torch::zeros({input.size(0), 1}, frozen.options());
  for (const SlotLinearSegment& segment : own) is_own.narrow(0, segment.begin, segment.end - segment.begin).fill_(1);
  return frozen * (1 - is_own) + slot_linear(input, anchor, own, hidden) * is_own;
}

torch::Tensor ClassificationHead::forward(const torch::Tensor& first, const torch::Tensor& anchor,
                                          const std::vector<HeadSegment>& segments, int64_t outputs,
                                          const RowKeys& rows, bool training) const {
  const double dropout = training ? dropout_ : 0;
  torch::Tensor x = dense(shape_.dropout_before_dense ? drop(first, dropout, DropoutPurpose::kHeadInput, rows) : first,
                          anchor, segments);
  x = shape_.activation == "relu" ? x.relu() : x.tanh();
  std::vector<SlotLinearSegment> classifiers;
  for (const HeadSegment& segment : segments) {
    if (!segment.classifier_weight.defined()) continue;
    classifiers.push_back({segment.begin, segment.end, segment.classifier_weight, segment.classifier_bias});
  }
  return slot_linear(drop(x, dropout, DropoutPurpose::kHead, rows), anchor, classifiers, outputs);
}

}  // namespace loraxs
