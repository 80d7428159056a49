#include "adapt/head_tensors.h"

namespace loraxs {

torch::Tensor segment_value(const Bank& bank, int64_t row, const LayoutSegment& segment) {
  return bank.values.select(0, row).narrow(0, segment.offset, segment.numel()).view(segment.shape);
}

std::string head_tensor_name(const Architecture& architecture, const LayoutSegment& segment) {
  const bool dense = segment.name.starts_with("head.dense.");
  const std::string kind = segment.name.substr(segment.name.rfind('.'));  // ".weight" or ".bias"
  return (dense ? architecture.head.dense_hf : architecture.head.output_hf) + kind;
}

std::map<std::string, torch::Tensor> head_tensors(const Architecture& architecture, const Bank& bank, int64_t row) {
  std::map<std::string, torch::Tensor> tensors;
  for (const LayoutSegment& segment : bank.layout->segments) {
    if (segment.head) tensors[head_tensor_name(architecture, segment)] = segment_value(bank, row, segment);
  }
  return tensors;
}

}  // namespace loraxs
