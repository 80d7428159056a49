// ops/dropout.h: dropout whose masks are a function of (job seed, job step, example, layer, purpose, position,
// element).
#pragma once
#include <torch/types.h>

#include <cstdint>

#include "io/seeds.h"

namespace loraxs {

/// Where in the model a mask is drawn. Part of the mask's key, so the numbers are part of docs/formats.md.
enum class DropoutPurpose : uint64_t {
  kEmbedding = 0,
  kAttention = 1,
  kAttentionOutput = 2,
  kMlpOutput = 3,
  kHead = 4,
  kHeadInput = 5,
  kAdapterInput = 6  // of a layer's first projection in canonical order; the next have the numbers after it
};

/// One dropout of the model. An element is kept iff its 16-bit lane ≥ threshold; kept elements are multiplied by scale.
/// key     = mix_seed(mix_seed(dropout key of the sequence, layer), purpose)
/// counter = {8 · (element / 64) + element % 16 / 2, position, head, 0}
///           hidden: element = column, head = 0; attention: element = key position
/// lane    = of philox(counter, key) in 7 rounds: word element % 64 / 16, its low half for even elements, else the high
///           one. Eight counters side by side in vector registers give 64 elements in order.
struct Dropout {
  uint32_t threshold = 0;  // round(probability · 65536); 0 = off
  uint64_t layer = 0;
  DropoutPurpose purpose = DropoutPurpose::kEmbedding;

  static Dropout make(double probability, int64_t layer, DropoutPurpose purpose);
  /// Of what the adapter of a layer's projection `module` (its number in canonical order) reads.
  static Dropout of_adapter(double probability, int64_t layer, int64_t module);
  bool active() const { return threshold > 0; }
  double scale() const { return 65536.0 / (65536.0 - threshold); }
  uint64_t key(uint64_t sequence_key) const {
    return mix_seed(mix_seed(sequence_key, layer), static_cast<uint64_t>(purpose));
  }
};

/// Mask times scale of elements [0, elements) at each (sequence key, position, head) -> [..., elements] float32. The
/// three are int64 and broadcast to [...]. The plain form, equal to the kernels' to the bit: Philox in int64 tensors,
/// on any device.
torch::Tensor dropout_mask(const Dropout& dropout, const torch::Tensor& sequence_keys, const torch::Tensor& positions,
                           const torch::Tensor& heads, int64_t elements);

/// What a mask over rows needs: per row the sequence's dropout key and the row's position in its sequence.
struct RowKeys {
  torch::Tensor keys;       // [rows] int64 (the bits of a uint64)
  torch::Tensor positions;  // [rows] int32

  bool defined() const { return keys.defined(); }
  RowKeys narrow(int64_t begin, int64_t count) const {
    return {keys.narrow(0, begin, count), positions.narrow(0, begin, count)};
  }
};

/// The same for hidden states -> [rows, columns], on the device of `rows`.
torch::Tensor dropout_mask(const Dropout& dropout, const RowKeys& rows, int64_t columns);

/// x with the mask applied, without autograd (embeddings are frozen). dtype and device of x.
torch::Tensor apply_dropout(const torch::Tensor& x, const Dropout& dropout, const RowKeys& rows);

}  // namespace loraxs
