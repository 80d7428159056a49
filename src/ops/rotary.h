// ops/rotary.h: rotary position embedding (Su et al., arXiv 2104.09864), pairs (c, c + head_dim/2) as in transformers.
#pragma once
#include <torch/types.h>

namespace loraxs {

/// Cosine and sine of every row's angles.
struct RotaryAngles {
  torch::Tensor cosine;  // [rows, head_dim / 2] float32
  torch::Tensor sine;    // [rows, head_dim / 2] float32
};

/// positions [rows] int64 times inverse_frequencies [head_dim / 2] float32, or of each row [rows, head_dim / 2], in
/// float32 whatever the compute dtype: so transformers has it, and at far positions its rounding is part of the model.
/// Cosines and sines are multiplied by `scale`.
RotaryAngles rotary_angles(const torch::Tensor& positions, const torch::Tensor& inverse_frequencies, double scale = 1);

/// x [rows, width] with its first `heads` · head_dim columns rotated head by head; the other columns stay. Works in x's
/// own memory: x must be the fresh output of a projection that nobody else reads.
torch::Tensor rotary_(const torch::Tensor& x, int64_t heads, const RotaryAngles& angles);

/// The same by ATen alone, out of place: on any device (ops/cpu_kernels.h).
torch::Tensor rotary_plain(const torch::Tensor& x, int64_t heads, const RotaryAngles& angles);

}  // namespace loraxs
