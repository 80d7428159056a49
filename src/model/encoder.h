// model/encoder.h: the packed forward of BERT-like encoders (post-norm blocks, learned positions).
#pragma once
#include <torch/types.h>

#include <vector>

#include "model/base_model.h"
#include "model/batch_tensors.h"
#include "model/projection_hook.h"

namespace loraxs {

class Encoder {
 public:
  /// Norms and embeddings stay float32 (float64 for float64); activations take `compute_dtype`.
  Encoder(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device);

  /// In the order of the forward; a hook is asked for them by index. The last layer's query stands alone, since only
  /// the first token of each sequence asks there.
  const std::vector<ProjectionGroup>& groups() const { return groups_; }

  /// Hidden states of each sequence's first token after the last layer -> [sequences, hidden]. What cannot reach them
  /// is not computed: the last layer's query, attention output and MLP run on those rows only.
  torch::Tensor forward(const BatchTensors& batch, ProjectionHook& hook, bool training) const;

 private:
  struct Norm {
    torch::Tensor weight, bias;  // [hidden]
  };
  struct Layer {
    size_t query = 0, key_value = 0;  // groups; equal where all three are joined
    size_t attention_output = 0, intermediate = 0, mlp_output = 0;
    Norm attention_norm, mlp_norm;
  };
  torch::Tensor position_rows(const BatchTensors& batch) const;  // [tokens] int64, rows of the position table
  torch::Tensor embed(const BatchTensors& batch, bool training) const;

  ModelConfig config_;
  torch::ScalarType compute_dtype_;
  torch::Tensor words_, positions_, token_types_;  // [vocab, hidden], …
  Norm embedding_norm_;
  std::vector<Layer> layers_;
  std::vector<ProjectionGroup> groups_;
};

}  // namespace loraxs
