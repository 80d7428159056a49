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

/// Consecutive sequences whose heads have the same outputs.
struct HeadRun {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t outputs = 0;      // 0: no head
  bool regression = false;  // one output, a score; otherwise one per class
};

/// Logits of packed sequences, each as wide as its own head.
struct HeadLogits {
  torch::Tensor values;       // [sequences, widest] float32 (float64); columns past a sequence's own are no logits
  std::vector<HeadRun> runs;  // all sequences, in order; neighbours differ

  /// [sequences of the run, outputs], a view.
  torch::Tensor of(const HeadRun& run) const {
    return values.narrow(0, run.begin, run.end - run.begin).narrow(1, 0, run.outputs);
  }
};

class ClassificationHead {
 public:
  ClassificationHead(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device);

  /// first [sequences, hidden] -> logits [sequences, outputs] in float32 (float64), `outputs` the most of any segment,
  /// zero past a segment's own. `anchor` as in adapted_linear. Throws Error if a slot brings no dense layer and the
  /// checkpoint has none.
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
