#include "ops/dropout.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "ops/simd.h"

namespace loraxs {
namespace {

LORAXS_INLINE void drop_row(float* row, int64_t columns, uint64_t key, uint32_t position, uint32_t threshold,
                            float scale, uint16_t* lanes) {
  simd::dropout_lanes(key, position, 0, columns, lanes);
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) row[c] = lanes[c] >= threshold ? row[c] * scale : 0.0F;
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

uint32_t dropout_lane(uint64_t key, uint32_t position, uint32_t head, int64_t element) {
  const int64_t at = element % simd::kLaneGroup;
  const auto counter = static_cast<uint32_t>(element / simd::kLaneGroup * 8 + at % 16 / 2);
  return philox({counter, position, head, 0}, key, simd::kDropoutRounds)[at / 16] >> (at % 2 * 16) & 0xFFFFU;
}

torch::Tensor dropout_mask(const Dropout& dropout, const RowKeys& rows, int64_t columns) {
  const torch::Tensor keys = rows.keys.cpu(), positions = rows.positions.cpu();
  torch::Tensor mask = torch::empty({keys.size(0), columns}, torch::TensorOptions().dtype(torch::kFloat32));
  auto out = mask.accessor<float, 2>();
  const int64_t* key = keys.const_data_ptr<int64_t>();
  const int32_t* position = positions.const_data_ptr<int32_t>();
  for (int64_t row = 0; row < keys.size(0); ++row) {
    const uint64_t row_key = dropout.key(static_cast<uint64_t>(key[row]));
    for (int64_t column = 0; column < columns; ++column) {
      const uint32_t lane = dropout_lane(row_key, static_cast<uint32_t>(position[row]), 0, column);
      out[row][column] = lane >= dropout.threshold ? static_cast<float>(dropout.scale()) : 0.0F;
    }
  }
  return mask;
}

torch::Tensor apply_dropout(const torch::Tensor& x, const Dropout& dropout, const RowKeys& rows) {
  torch::NoGradGuard no_grad;
  if (!dropout.active()) return x;
  if (x.scalar_type() != torch::kFloat32 || !x.device().is_cpu()) {
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
