#include "model/head.h"

#include "io/error.h"

namespace loraxs {

ClassificationHead::ClassificationHead(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device)
    : dropout_(model.config.classifier_dropout) {
  if (!model.has("pooler.weight")) {
    throw Error(concat(model.folder.string(),
                       ": expected pooler.dense.weight, which BERT's classification head reads, "
                       "found none; this checkpoint was saved without its pooler"));
  }
  const auto options = torch::TensorOptions().dtype(compute_dtype).device(device);
  pooler_.weight = model.weight("pooler.weight").to(options);
  pooler_.weight_transposed = pooler_.weight.t().contiguous();
  pooler_.bias = model.weight("pooler.bias").to(options);
  pooler_.out_features = pooler_.weight.size(0);
}

torch::Tensor ClassificationHead::forward(const torch::Tensor& first, const torch::Tensor& anchor,
                                          const std::vector<HeadSegment>& segments, int64_t outputs,
                                          const RowKeys& rows, bool training) const {
  const auto dtype = first.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  std::vector<SlotLinearSegment> poolers, classifiers;
  for (const HeadSegment& segment : segments) {
    if (segment.pooler_weight.defined()) {
      poolers.push_back({segment.begin, segment.end, segment.pooler_weight, segment.pooler_bias});
    }
    if (segment.classifier_weight.defined()) {
      classifiers.push_back({segment.begin, segment.end, segment.classifier_weight, segment.classifier_bias});
    }
  }
  // A batch holds banks of one head kind as a rule; where some slots train the pooler and others do not, both are
  // computed.
  torch::Tensor pooled = adapted_linear(first, {}, pooler_, {}).to(dtype);  // [sequences, hidden]
  if (!poolers.empty()) {
    torch::Tensor own = torch::zeros({first.size(0), 1}, pooled.options());
    for (const SlotLinearSegment& segment : poolers) own.narrow(0, segment.begin, segment.end - segment.begin).fill_(1);
    pooled = pooled * (1 - own) + slot_linear(first, anchor, poolers, pooled.size(1)) * own;
  }
  pooled = pooled.tanh();
  if (training && dropout_ > 0) {
    const Dropout dropout = Dropout::make(dropout_, 0, DropoutPurpose::kHead);
    pooled = pooled * dropout_mask(dropout, rows, pooled.size(1)).to(pooled.options());
  }
  return slot_linear(pooled, anchor, classifiers, outputs);
}

}  // namespace loraxs
