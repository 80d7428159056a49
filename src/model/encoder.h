// model/encoder.h: the packed forward of BERT-like encoders (post-norm blocks, learned positions).
#pragma once
#include <torch/types.h>

#include <vector>

#include "model/backbone.h"

namespace loraxs {

class Encoder final : public Backbone {
 public:
  Encoder(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device);

  const std::vector<ProjectionGroup>& groups() const override { return groups_; }
  torch::Tensor forward(const BatchTensors& batch, const std::shared_ptr<const ProjectionHook>& hook, bool training,
                        KeyValueCache* cache) const override;
  void limit_activations(int64_t) override {}  // texts of encoders are short: everything is kept

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
