#include "ops/int8_weight.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "ops/block_formats.h"

namespace loraxs {
namespace {

constexpr int64_t kGrainWork = 1 << 17;    // multiply-adds below which a second thread does not pay
constexpr int64_t kRoundingWork = 8;       // of them, what rounding a number takes as long as
constexpr int64_t kToldNumbers = 1 << 12;  // of the product at a time: few calls, and still in the nearest cache

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

}  // namespace

/// One call: x's rows as integers, the memory they stand in, and where the product goes.
class Int8Weight::Product {
 public:
  Product(const Int8Weight& weight, const torch::Tensor& out, const torch::Tensor& x, const int8::Kernel& kernel)
      : weight_(weight),
        kernel_(kernel),
        x_(x.const_data_ptr<float>()),
        out_(out.mutable_data_ptr<float>()),
        rows_(x.size(0)),
        x_stride_(x.stride(0)),
        out_stride_(out.stride(0)),
        q_(memory<int8_t>(int8::kBlock)),
        scale_(memory<float>(1)),
        sum_(memory<float>(1)),
        total_(memory<int32_t>(1)) {}

  /// Rounds rows [begin, end).
  void take_rows(int64_t begin, int64_t end) {
    const int64_t blocks = weight_.blocks_, columns = weight_.columns_;
    std::vector<float> full(static_cast<size_t>(columns == padded() ? 0 : padded()));
    for (int64_t row = begin; row < end; ++row) {
      const float* numbers = x_ + row * x_stride_;
      if (!full.empty()) {
        std::copy_n(numbers, columns, full.data());
        numbers = full.data();
      }
      kernel_.quantize(numbers, blocks, q_.get() + row * padded(), scale_.get() + row * blocks,
                       total_.get() + row * blocks, sum_.get() + row * blocks);
    }
  }

  /// A panel's columns of the product, for rows [begin, end), which have been taken; returns the column behind them.
  int64_t multiply(int64_t panel, int64_t begin, int64_t end) {
    const Part& part = weight_.part_of(panel);
    const int64_t blocks = weight_.blocks_, place = panel - part.first_panel, first = place * int8::kPanelRows;
    const int64_t count = std::min(int8::kPanelRows, part.rows - first), column = part.column + first;
    const int8::Activations rows = {.q = q_.get() + begin * padded(),
                                    .scale = scale_.get() + begin * blocks,
                                    .total = total_.get() + begin * blocks,
                                    .sum = sum_.get() + begin * blocks,
                                    .rows = end - begin,
                                    .blocks = blocks};
    const std::byte* numbers = part.panels.data() + place * blocks * int8::block_bytes(part.format);
    float* out = out_ + begin * out_stride_ + column;
    if (count == int8::kPanelRows) {
      kernel_.multiply(part.format, numbers, rows, out, out_stride_);
      return column + count;
    }
    std::vector<float> sums(static_cast<size_t>(rows.rows * int8::kPanelRows));  // of fewer rows of W
    kernel_.multiply(part.format, numbers, rows, sums.data(), int8::kPanelRows);
    for (int64_t row = 0; row < rows.rows; ++row)
      std::copy_n(sums.data() + row * int8::kPanelRows, count, out + row * out_stride_);
    return column + count;
  }

 private:
  int64_t padded() const { return weight_.blocks_ * int8::kBlock; }
  template <typename T>
  std::unique_ptr<T[]> memory(int64_t of_a_block) const {  // written before it is read
    return std::make_unique_for_overwrite<T[]>(static_cast<size_t>(rows_ * weight_.blocks_ * of_a_block));
  }

  const Int8Weight& weight_;
  const int8::Kernel& kernel_;
  const float* x_;
  float* out_;
  int64_t rows_, x_stride_, out_stride_;
  std::unique_ptr<int8_t[]> q_;
  std::unique_ptr<float[]> scale_, sum_;
  std::unique_ptr<int32_t[]> total_;
};

Int8Weight::Int8Weight(const std::vector<BlockTensor>& parts, const torch::Tensor& tail) {
  TORCH_CHECK(!parts.empty(), "Int8Weight: no parts");
  columns_ = parts[0].columns();
  blocks_ = (columns_ + int8::kBlock - 1) / int8::kBlock;
  parts_.reserve(parts.size() + 1);
  for (const BlockTensor& part : parts) add_part(part);
  if (!tail.defined()) return;
  const int64_t before = panels_;
  add_part(block_view(tail.contiguous()));
  tail_panels_ = panels_ - before;
}

void Int8Weight::add_part(const BlockTensor& part) {
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

const Int8Weight::Part& Int8Weight::part_of(int64_t panel) const {
  size_t i = 0;
  while (i + 1 < parts_.size() && parts_[i + 1].first_panel <= panel) ++i;
  return parts_[i];
}

void Int8Weight::multiply_(const torch::Tensor& out, const torch::Tensor& x, const Alongside& alongside,
                           const int8::Kernel& kernel) const {
  const int64_t rows = x.size(0);
  TORCH_CHECK(x.scalar_type() == torch::kFloat32 && out.scalar_type() == torch::kFloat32 && x.size(1) == columns_ &&
                  out.size(1) >= rows_ && out.size(0) == rows && x.stride(1) == 1 && out.stride(1) == 1,
              "Int8Weight::multiply_: x ", x.sizes(), " ", x.scalar_type(), ", W [", rows_, ", ", columns_, "], out ",
              out.sizes(), " ", out.scalar_type());
  if (rows == 0) return;
  Product product(*this, out, x, kernel);
  const int64_t numbers = blocks_ * int8::kBlock, panel_work = int8::kPanelRows * numbers,
                main = panels_ - tail_panels_;
  const int64_t row_work = kRoundingWork * numbers + tail_panels_ * panel_work + alongside.row_work;
  at::parallel_for(0, rows, std::max<int64_t>(1, kGrainWork / row_work), [&](int64_t begin, int64_t end) {
    product.take_rows(begin, end);
    for (int64_t panel = main; panel < panels_; ++panel) product.multiply(panel, begin, end);
    if (alongside.rows) alongside.rows(begin, end);
  });
  at::parallel_for(0, main, std::max<int64_t>(1, kGrainWork / (rows * panel_work)), [&](int64_t begin, int64_t end) {
    const Part& part = part_of(begin);
    int64_t told = part.column + (begin - part.first_panel) * int8::kPanelRows;  // columns before are known
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t column_end = product.multiply(panel, 0, rows);
      if (!alongside.columns || (panel + 1 < end && (column_end - told) * rows < kToldNumbers)) continue;
      alongside.columns(told, column_end);
      told = column_end;
    }
  });
}

}  // namespace loraxs
