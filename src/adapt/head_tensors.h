// adapt/head_tensors.h: an adapter's task head under the names of Hugging Face's ForSequenceClassification.
#pragma once
#include <torch/types.h>

#include <map>
#include <string>

#include "adapt/adapter_set.h"
#include "model/base_model.h"

namespace loraxs {

/// A segment of a row as a tensor: a view.
torch::Tensor segment_value(const Bank& bank, int64_t row, const LayoutSegment& segment);

/// How Hugging Face calls the tensor of a head's segment: "classifier.out_proj.weight".
std::string head_tensor_name(const Architecture& architecture, const LayoutSegment& segment);

/// Name -> tensor of what the row holds: "classifier.out_proj.weight" … Empty without a head.
std::map<std::string, torch::Tensor> head_tensors(const Architecture& architecture, const Bank& bank, int64_t row);

}  // namespace loraxs
