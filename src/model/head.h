// model/head.h: the sequence classification head: classifier(dropout(activation(dense(first token)))).
#pragma once
#include <torch/types.h>

#include <optional>
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
  RowTensor dense_weight, dense_bias;            // [hidden, hidden], [hidden]; undefined: the base's frozen dense layer
  RowTensor classifier_weight, classifier_bias;  // [outputs, hidden], [outputs]; undefined: this slot has no head
};

class ClassificationHead {
 public:
  ClassificationHead(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device);

  /// first [sequences, hidden] -> logits [sequences, outputs] in float32 (float64). `anchor` as in adapted_linear.
  /// Throws Error if a slot brings no dense layer and the checkpoint has none.
  torch::Tensor forward(const torch::Tensor& first, const torch::Tensor& anchor,
                        const std::vector<HeadSegment>& segments, int64_t outputs, const RowKeys& rows,
                        bool training) const;

 private:
  torch::Tensor dense(const torch::Tensor& input, const torch::Tensor& anchor,
                      const std::vector<HeadSegment>& segments) const;

  HeadShape shape_;
  std::string folder_;                      // for errors
  std::optional<JoinedProjection> frozen_;  // the base's own dense layer
  double dropout_;
};

}  // namespace loraxs
