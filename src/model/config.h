// model/config.h: what a transformer's config.json says, in one struct for all families.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "ops/gate_activation.h"

namespace loraxs {

// What config.json may ask for: several times the largest models published (126 layers, 53,248 wide, 262,144 tokens,
// 10 million positions), and so little that no product of sizes overflows.
inline constexpr int64_t kMostLayers = 1000, kMostWidth = int64_t{1} << 20, kMostTokens = int64_t{1} << 24,
                         kMostPositions = INT32_MAX;

/// Rotary positions: angle = position · frequency; see model/rotary_frequencies.h.
struct RotaryConfig {
  double theta = 0;                 // 0 = the family has none
  std::string scaling = "default";  // default | linear | dynamic | yarn | longrope | llama3 | factors
  double factor = 1;                // by which waves are stretched: all of linear, long ones of llama3 and yarn
  double attention_factor = 1;      // cosines and sines are multiplied by it: yarn, longrope
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3: where stretching ends
  double beta_fast = 32, beta_slow = 1;              // yarn: turns within the original length where it ends and is full
  bool truncate = true;                              // yarn: those bounds fall on whole pairs
  int64_t original_max_position_embeddings = 0;      // llama3, yarn, longrope; dynamic: where it begins to stretch
  std::vector<float> factors;                        // factors, longrope: by which each pair's frequency is divided
  std::vector<float> long_factors;                   // longrope: in texts beyond the original length
};

struct ModelConfig {
  std::string model_type;  // "bert"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;  // = num_attention_heads where the family has no grouped heads
  int64_t head_dim = 0;
  int64_t intermediate_size = 0;
  int64_t max_position_embeddings = 0;  // rows of the position table
  int64_t position_offset = 0;          // row of the first position: 2 in RoBERTa
  int64_t padding_id = -1;              // where offset > 0: this id takes row offset - 1 and no position
  int64_t type_vocab_size = 0;          // token type ids; 0 = the family has none
  std::string hidden_act = "gelu";
  GateActivation gate = GateActivation::kSilu;  // of gated MLPs
  RotaryConfig rotary;
  bool tie_word_embeddings = false;    // decoders: logits by the word embeddings
  bool attention_bias = false;         // decoders: of query, key and value
  bool attention_output_bias = false;  // decoders
  bool mlp_bias = false;               // decoders
  bool query_key_norm = false;         // decoders: heads of query and key are normalised before they are rotated
  double embedding_scale = 1;          // decoders: by which word embeddings are multiplied, in the compute dtype
  double norm_offset = 0;              // decoders: added to the weights of norms as they are stored
  std::vector<int64_t> windows;        // decoders: tokens that a layer's token sees, itself included; 0, empty: all
  double norm_eps = 1e-12;
  double hidden_dropout = 0;            // embeddings, MLP output
  double attention_dropout = 0;         // attention probabilities
  double attention_output_dropout = 0;  // attention output
  double classifier_dropout = 0;        // in the head
  double initializer_range = 0.02;      // standard deviation of fresh head weights

  /// Longest sequence in tokens.
  int64_t max_length() const { return max_position_embeddings - position_offset; }
  /// Longest text that grows token by token: longrope rotates what goes beyond the original length otherwise from its
  /// first token on, and no cache can follow.
  int64_t max_growing_length() const {
    return rotary.scaling == "longrope" ? std::min(max_length(), rotary.original_max_position_embeddings)
                                        : max_length();
  }
  int64_t window(int64_t layer) const { return windows.empty() ? 0 : windows.at(layer); }
  void disable_dropout() { hidden_dropout = attention_dropout = attention_output_dropout = classifier_dropout = 0; }

  /// The fields that change the computation, in a fixed spelling: part of base_id.
  std::string canonical() const;
};

}  // namespace loraxs
