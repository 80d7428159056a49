#include "ops/int8_weight.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "ops/block_formats.h"

namespace loraxs {
namespace {

using blocks::Byte;
using int8::Format;

/// One row's numbers of one block.
struct IntegerBlock {
  int8_t q[int8::kBlock] = {};
  float d = 0, m = 0;
};

Format format_of(BlockType type) {
  switch (type) {
    case BlockType::kQ4_0:
    case BlockType::kQ4_1:
      return Format::kFourHalf;
    case BlockType::kQ4_K:
      return Format::kFourFloat;
    case BlockType::kQ8_0:
      return Format::kEightHalf;
    default:
      return Format::kEightFloat;
  }
}

void copy_nibbles(const Byte* low, int half, int8_t* q, int64_t count) {
  for (int64_t i = 0; i < count; ++i) q[i] = static_cast<int8_t>(half == 0 ? low[i] & 15 : low[i] >> 4);
}

/// Block `b` of a row of a type whose integers are kept.
IntegerBlock stored_block(BlockType type, const Byte* row, int64_t b) {
  IntegerBlock out;
  if (type == BlockType::kQ8_0) {
    const Byte* block = row + b * blocks::Q80::kBytes;
    out.d = blocks::half_at(block);
    std::memcpy(out.q, block + 2, sizeof out.q);
  } else if (type == BlockType::kQ4_K) {  // eight groups of 32 in a block
    const Byte* block = row + b / 8 * blocks::Q4K::kBytes;
    const auto group = static_cast<int>(b % 8);
    float scale = 0, minimum = 0;
    blocks::unpack_group(block + 4, group, scale, minimum);
    out.d = blocks::half_at(block) * scale;
    out.m = -(blocks::half_at(block + 2) * minimum);
    copy_nibbles(block + 16 + 32 * (group / 2), group % 2, out.q, 32);
  } else {
    const bool has_minimum = type == BlockType::kQ4_1;
    const Byte* block = row + b * (has_minimum ? blocks::Q41::kBytes : blocks::Q40::kBytes);
    const Byte* low = block + (has_minimum ? 4 : 2);
    out.d = blocks::half_at(block);
    out.m = has_minimum ? blocks::half_at(block + 2) : -8 * out.d;
    copy_nibbles(low, 0, out.q, 16);
    copy_nibbles(low, 1, out.q + 16, 16);
  }
  return out;
}

void write_scale(Format format, std::byte* scales, int64_t i, float value) {
  if (int8::half_scales(format)) {
    const c10::Half half = value;
    std::memcpy(scales + i * 2, &half, sizeof half);
  } else {
    std::memcpy(scales + i * 4, &value, sizeof value);
  }
}

/// Into row `row` of a panel's block, which holds zeros so far.
void write_block(Format format, std::byte* block, int64_t row, const IntegerBlock& values) {
  constexpr int64_t kGroupBytes = int8::kPanelRows * int8::kGroup;
  for (int64_t c = 0; c < int8::kBlock; ++c) {
    const int64_t group = c / int8::kGroup, place = row * int8::kGroup + c % int8::kGroup;
    const auto bits = static_cast<std::byte>(values.q[c]);
    if (!int8::four_bits(format)) {
      block[group * kGroupBytes + place] = bits;
    } else {
      block[group % 4 * kGroupBytes + place] |= group < 4 ? bits : bits << 4;
    }
  }
  std::byte* scales = block + int8::integer_bytes(format);
  write_scale(format, scales, row, values.d);
  if (int8::four_bits(format)) write_scale(format, scales, int8::kPanelRows + row, values.m);
}

std::vector<std::byte> packed_panels(const BlockTensor& tensor, Format format, int64_t blocks) {
  const int64_t panels = (tensor.rows() + int8::kPanelRows - 1) / int8::kPanelRows;
  const int64_t panel_bytes = blocks * int8::block_bytes(format);
  const int64_t row_bytes = block_type_info(tensor.type).row_bytes(tensor.columns());
  std::vector<std::byte> out(static_cast<size_t>(panels * panel_bytes));
  at::parallel_for(0, panels, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> numbers(static_cast<size_t>(blocks * int8::kBlock)), scales(static_cast<size_t>(blocks));
    std::vector<float> sums(scales.size());
    std::vector<int32_t> totals(scales.size());
    std::vector<int8_t> q(numbers.size());
    for (int64_t row = begin * int8::kPanelRows; row < std::min(tensor.rows(), end * int8::kPanelRows); ++row) {
      const std::byte* stored = tensor.bytes.data() + tensor.stored_row(row) * row_bytes;
      std::byte* panel = out.data() + row / int8::kPanelRows * panel_bytes;
      if (format == Format::kEightFloat) {
        dequantize_blocks(tensor.type, stored, tensor.columns(), numbers.data());
        int8::kernel().quantize(numbers.data(), blocks, q.data(), scales.data(), totals.data(), sums.data());
      }
      for (int64_t b = 0; b < blocks; ++b) {
        IntegerBlock values;
        if (format == Format::kEightFloat) {
          std::copy_n(q.data() + b * int8::kBlock, int8::kBlock, values.q);
          values.d = scales[b];
        } else {
          values = stored_block(tensor.type, reinterpret_cast<const Byte*>(stored), b);
        }
        write_block(format, panel + b * int8::block_bytes(format), row % int8::kPanelRows, values);
      }
    }
  });
  return out;
}

/// Rows of x as integers, and the memory they stand in.
struct QuantizedRows {
  std::vector<int8_t> q;
  std::vector<float> scale, sum;
  std::vector<int32_t> total;
  int8::Activations view;
};

QuantizedRows quantize(const torch::Tensor& x, int64_t blocks, const int8::Kernel& kernel) {
  const int64_t rows = x.size(0), columns = x.size(1), padded = blocks * int8::kBlock;
  QuantizedRows out;
  out.q.resize(static_cast<size_t>(rows * padded));
  out.scale.resize(static_cast<size_t>(rows * blocks));
  out.sum.resize(out.scale.size());
  out.total.resize(out.scale.size());
  const float* data = x.const_data_ptr<float>();
  const int64_t stride = x.stride(0);
  constexpr int64_t kGrainNumbers = 1 << 14;
  at::parallel_for(0, rows, std::max<int64_t>(1, kGrainNumbers / padded), [&](int64_t begin, int64_t end) {
    std::vector<float> full(static_cast<size_t>(columns == padded ? 0 : padded));
    for (int64_t row = begin; row < end; ++row) {
      const float* numbers = data + row * stride;
      if (!full.empty()) {
        std::copy_n(numbers, columns, full.data());
        numbers = full.data();
      }
      kernel.quantize(numbers, blocks, out.q.data() + row * padded, out.scale.data() + row * blocks,
                      out.total.data() + row * blocks, out.sum.data() + row * blocks);
    }
  });
  out.view = {.q = out.q.data(),
              .scale = out.scale.data(),
              .total = out.total.data(),
              .sum = out.sum.data(),
              .rows = rows,
              .blocks = blocks};
  return out;
}

}  // namespace

Int8Weight::Int8Weight(const std::vector<BlockTensor>& parts) {
  TORCH_CHECK(!parts.empty(), "Int8Weight: no parts");
  columns_ = parts[0].columns();
  blocks_ = (columns_ + int8::kBlock - 1) / int8::kBlock;
  parts_.reserve(parts.size());
  for (const BlockTensor& part : parts) {
    TORCH_CHECK(part.columns() == columns_, "Int8Weight: ", part.columns(), " columns, expected ", columns_);
    const Format format = format_of(part.type);
    parts_.push_back({.format = format,
                      .rows = part.rows(),
                      .column = rows_,
                      .first_panel = panels_,
                      .panels = packed_panels(part, format, blocks_)});
    rows_ += part.rows();
    panels_ += (part.rows() + int8::kPanelRows - 1) / int8::kPanelRows;
  }
}

const Int8Weight::Part& Int8Weight::part_of(int64_t panel) const {
  size_t i = 0;
  while (i + 1 < parts_.size() && parts_[i + 1].first_panel <= panel) ++i;
  return parts_[i];
}

void Int8Weight::multiply_(const torch::Tensor& out, const torch::Tensor& x, const int8::Kernel& kernel) const {
  const int64_t rows = x.size(0);
  TORCH_CHECK(x.scalar_type() == torch::kFloat32 && out.scalar_type() == torch::kFloat32 && x.size(1) == columns_ &&
                  out.size(1) >= rows_ && out.size(0) == rows && x.stride(1) == 1 && out.stride(1) == 1,
              "Int8Weight::multiply_: x ", x.sizes(), " ", x.scalar_type(), ", W [", rows_, ", ", columns_, "], out ",
              out.sizes(), " ", out.scalar_type());
  if (rows == 0) return;
  const QuantizedRows input = quantize(x, blocks_, kernel);
  float* data = out.mutable_data_ptr<float>();
  const int64_t stride = out.stride(0);
  constexpr int64_t kGrainWork = 1 << 17;  // multiply-adds below which a second thread does not pay
  const int64_t grain = std::max<int64_t>(1, kGrainWork / (rows * int8::kPanelRows * blocks_ * int8::kBlock));
  at::parallel_for(0, panels_, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> sums(static_cast<size_t>(rows * int8::kPanelRows));
    for (int64_t panel = begin; panel < end; ++panel) {
      const Part& part = part_of(panel);
      const int64_t place = panel - part.first_panel, first = place * int8::kPanelRows;
      kernel.multiply(part.format, part.panels.data() + place * blocks_ * int8::block_bytes(part.format), input.view,
                      sums.data());
      const int64_t count = std::min(int8::kPanelRows, part.rows - first);
      for (int64_t row = 0; row < rows; ++row)
        std::copy_n(sums.data() + row * int8::kPanelRows, count, data + row * stride + part.column + first);
    }
  });
}

}  // namespace loraxs
