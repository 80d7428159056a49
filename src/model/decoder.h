// model/decoder.h: the packed forward of Llama-like decoders (pre-norm blocks, rotary positions, gated MLP).
#pragma once
#include <torch/types.h>

#include <vector>

#include "model/backbone.h"
#include "ops/rotary.h"

namespace loraxs {

/// Numbers of the compute dtype that a layer keeps for backward per token: the residual states before its norms, the
/// outputs that attention and the gated MLP read, heads before their norms.
int64_t kept_per_token(const ModelConfig& config);

class Decoder final : public Backbone {
 public:
  Decoder(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device);

  const std::vector<ProjectionGroup>& groups() const override { return groups_; }
  torch::Tensor forward(const BatchTensors& batch, const std::shared_ptr<const ProjectionHook>& hook, bool training,
                        KeyValueCache* cache) const override;
  void limit_activations(int64_t bytes) override { activation_budget_ = bytes; }

 private:
  struct Layer {
    size_t query = 0, key_value = 0;  // groups; equal where all three are joined
    size_t attention_output = 0, gate_up = 0, down = 0;
    torch::Tensor attention_norm, mlp_norm;  // [hidden]
    torch::Tensor head_norms;                // [heads + kv_heads, head_dim] of query and key heads; undefined: none
  };
  /// What the layers of one forward share.
  struct Pass {
    const BatchTensors batch;  // handles: a recomputed layer needs them in backward
    std::shared_ptr<const ProjectionHook> hook;
    RotaryAngles angles;        // per token
    RotaryAngles asked_angles;  // per asked row
    KeyValueCache* cache;
    bool training;
  };
  torch::Tensor embed(const BatchTensors& batch) const;
  /// Of the rows at `rows`, or of all tokens where that is undefined.
  RotaryAngles angles_of(const BatchTensors& batch, const torch::Tensor& rows) const;
  torch::Tensor attend(int64_t l, const torch::Tensor& normed, const Pass& pass) const;
  /// x [tokens, hidden] -> [tokens, hidden]; the last layer -> [asked, hidden].
  torch::Tensor run_layer(int64_t l, const torch::Tensor& x, const Pass& pass) const;
  bool is_last(int64_t l) const { return l + 1 == config_.num_hidden_layers; }
  /// How many layers, from the lowest, are recomputed to keep the activations of so many tokens within the budget.
  int64_t recomputed_layers(int64_t tokens) const;

  ModelConfig config_;
  torch::ScalarType compute_dtype_;
  torch::Tensor words_;                // [vocab, hidden] as stored; undefined where that is in blocks, on the CPU
  BlockTensor word_blocks_;            // then these, unpacked on lookup
  torch::Tensor final_norm_;           // [hidden]
  torch::Tensor inverse_frequencies_;  // [head_dim / 2] float32
  torch::Tensor long_frequencies_;     // of texts beyond longrope's original length; undefined: the same
  std::vector<Layer> layers_;
  std::vector<ProjectionGroup> groups_;
  int64_t activation_budget_ = -1;
};

}  // namespace loraxs
