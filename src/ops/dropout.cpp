#include "ops/dropout.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace loraxs {
namespace {

LORAXS_INLINE void drop_row(float* row, int64_t columns, uint64_t key, uint32_t position, uint32_t threshold,
                            float scale, uint16_t* lanes) {
  simd::dropout_lanes(key, position, 0, columns, lanes);
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) row[c] = lanes[c] >= threshold ? row[c] * scale : 0.0F;
}

// int64 tensors in place of unsigned numbers: products and sums wrap to the same 64 bits, and what comes down from the
// sign in a shift is masked.
torch::Tensor low32(const torch::Tensor& x) { return x.bitwise_and(0xFFFFFFFFLL); }
torch::Tensor shifted_right(const torch::Tensor& x, int64_t bits) {
  return x.bitwise_right_shift(bits).bitwise_and((int64_t{1} << (64 - bits)) - 1);
}
int64_t signed_bits(uint64_t x) { return static_cast<int64_t>(x); }

/// mix_seed() of io/seeds.h for every state.
torch::Tensor mixed(const torch::Tensor& states, uint64_t value) {
  torch::Tensor z = states + signed_bits(0x9E3779B97F4A7C15ULL * (value + 1));
  z = z.bitwise_xor(shifted_right(z, 30)) * signed_bits(0xBF58476D1CE4E5B9ULL);
  z = z.bitwise_xor(shifted_right(z, 27)) * signed_bits(0x94D049BB133111EBULL);
  return z.bitwise_xor(shifted_right(z, 31));
}

}  // namespace

Dropout Dropout::make(double probability, int64_t layer, DropoutPurpose purpose) {
  TORCH_CHECK(probability >= 0 && probability < 1, "dropout probability ", probability);
  return {.threshold = static_cast<uint32_t>(std::lround(probability * 65536)),
          .layer = static_cast<uint64_t>(layer),
          .purpose = purpose};
}

Dropout Dropout::of_adapter(double probability, int64_t layer, int64_t module) {
  const auto purpose = static_cast<uint64_t>(DropoutPurpose::kAdapterInput) + static_cast<uint64_t>(module);
  return make(probability, layer, static_cast<DropoutPurpose>(purpose));
}

torch::Tensor dropout_mask(const Dropout& dropout, const torch::Tensor& sequence_keys, const torch::Tensor& positions,
                           const torch::Tensor& heads, int64_t elements) {
  torch::NoGradGuard no_grad;
  constexpr int64_t kCounters = simd::kLaneGroup / 8;  // 4 words of 2 lanes each
  const int64_t groups = (elements + simd::kLaneGroup - 1) / simd::kLaneGroup;
  const torch::Tensor keys =
      mixed(mixed(sequence_keys, dropout.layer), static_cast<uint64_t>(dropout.purpose)).unsqueeze(-1);
  const torch::Tensor counters = torch::arange(groups * kCounters, keys.options());
  torch::Tensor key0 = low32(keys), key1 = shifted_right(keys, 32);
  torch::Tensor c[4] = {counters, positions.unsqueeze(-1), heads.unsqueeze(-1), torch::zeros_like(counters)};
  for (int round = 0; round < simd::kDropoutRounds; ++round) {  // philox() of io/seeds.h
    const torch::Tensor product0 = c[0] * 0xD2511F53LL, product1 = c[2] * 0xCD9E8D57LL;
    c[0] = shifted_right(product1, 32).bitwise_xor(c[1]).bitwise_xor(key0);
    c[1] = low32(product1);
    c[2] = shifted_right(product0, 32).bitwise_xor(c[3]).bitwise_xor(key1);
    c[3] = low32(product0);
    key0 = low32(key0 + 0x9E3779B9LL);
    key1 = low32(key1 + 0xBB67AE85LL);
  }
  std::vector<torch::Tensor> lanes;  // [..., groups, kCounters, 2] of each word
  for (const torch::Tensor& word : at::broadcast_tensors(c)) {
    lanes.push_back(
        torch::stack({word.bitwise_and(0xFFFF), shifted_right(word, 16)}, -1).unflatten(-2, {groups, kCounters}));
  }
  const torch::Tensor all = torch::stack(lanes, -3).flatten(-4).narrow(-1, 0, elements);  // [..., elements]
  return all.ge(static_cast<int64_t>(dropout.threshold)).to(torch::kFloat32) * static_cast<float>(dropout.scale());
}

torch::Tensor dropout_mask(const Dropout& dropout, const RowKeys& rows, int64_t columns) {
  return dropout_mask(dropout, rows.keys, rows.positions.to(torch::kInt64), torch::zeros_like(rows.keys), columns);
}

torch::Tensor apply_dropout(const torch::Tensor& x, const Dropout& dropout, const RowKeys& rows) {
  torch::NoGradGuard no_grad;
  if (!dropout.active()) return x;
  if (!on_cpu_kernels(x, rows.keys, rows.positions) || x.scalar_type() != torch::kFloat32) {
    return x * dropout_mask(dropout, rows, x.size(1)).to(x.options());
  }
  torch::Tensor result = x.clone(at::MemoryFormat::Contiguous);
  float* data = result.mutable_data_ptr<float>();
  const int64_t columns = x.size(1);
  const int64_t* keys = rows.keys.const_data_ptr<int64_t>();
  const int32_t* positions = rows.positions.const_data_ptr<int32_t>();
  at::parallel_for(0, x.size(0), 16, [&](int64_t begin, int64_t end) {
    std::vector<uint16_t> lanes(simd::lanes_size(columns));
    for (int64_t row = begin; row < end; ++row) {
      simd::kernel<drop_row>(data + row * columns, columns, dropout.key(static_cast<uint64_t>(keys[row])),
                             positions[row], dropout.threshold, static_cast<float>(dropout.scale()), lanes.data());
    }
  });
  return result;
}

}  // namespace loraxs
