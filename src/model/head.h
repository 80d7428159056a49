// model/head.h: BERT's sequence classification head: classifier(dropout(tanh(pooler(first token)))).
#pragma once
#include <torch/types.h>

#include <vector>

#include "model/base_model.h"
#include "model/batch_tensors.h"
#include "ops/adapted_linear.h"
#include "ops/slot_linear.h"

namespace loraxs {

/// The head tensors of consecutive sequences, in their slot's row.
struct HeadSegment {
  int64_t begin = 0;
  int64_t end = 0;
  RowTensor pooler_weight, pooler_bias;          // [hidden, hidden], [hidden]; undefined: the frozen pooler is used
  RowTensor classifier_weight, classifier_bias;  // [outputs, hidden], [outputs]; undefined: this slot has no head
};

class ClassificationHead {
 public:
  /// Throws Error if the checkpoint has no pooler.
  ClassificationHead(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device);

  /// first [sequences, hidden] -> logits [sequences, outputs] in float32 (float64). `anchor` as in adapted_linear.
  torch::Tensor forward(const torch::Tensor& first, const torch::Tensor& anchor,
                        const std::vector<HeadSegment>& segments, int64_t outputs, const RowKeys& rows,
                        bool training) const;

 private:
  JoinedProjection pooler_;
  double dropout_;
};

}  // namespace loraxs
