#include "ops/int8_product.h"

#include <c10/util/Half.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "ops/int8_weight.h"
#include "support/close.h"
#include "support/random_tensor.h"

namespace loraxs {
namespace {

using int8::Format;
using test::close;
using test::normal;

constexpr std::array kFormats = {Format::kFourHalf, Format::kFourFloat, Format::kEightHalf, Format::kEightFloat};

/// A panel of random integers, -128 among them, with scales about 0.01.
std::vector<std::byte> random_panel(Format format, int64_t blocks, uint64_t seed) {
  const int64_t block_bytes = int8::block_bytes(format);
  const torch::Tensor numbers = normal({blocks * block_bytes}, seed);
  std::vector<std::byte> panel(static_cast<size_t>(blocks * block_bytes));
  for (size_t i = 0; i < panel.size(); ++i) {
    const float value = numbers.const_data_ptr<float>()[i];
    panel[i] = static_cast<std::byte>(static_cast<int64_t>(std::fabs(value) * 1e6F) % 256);
  }
  const int64_t scales = int8::kPanelRows * (int8::four_bits(format) ? 2 : 1);
  for (int64_t b = 0; b < blocks; ++b) {
    std::byte* at = panel.data() + b * block_bytes + int8::integer_bytes(format);
    for (int64_t i = 0; i < scales; ++i) {
      const float scale = 0.01F * numbers.const_data_ptr<float>()[b * block_bytes + i];
      const c10::Half half = scale;
      if (int8::half_scales(format)) {
        std::memcpy(at + i * 2, &half, sizeof half);
      } else {
        std::memcpy(at + i * 4, &scale, sizeof scale);
      }
    }
  }
  return panel;
}

struct Quantized {
  std::vector<int8_t> q;
  std::vector<float> scale, sum;
  std::vector<int32_t> total;

  Quantized(const int8::Kernel& kernel, const std::vector<float>& x)
      : q(x.size()), scale(x.size() / int8::kBlock), sum(scale.size()), total(scale.size()) {
    kernel.quantize(x.data(), static_cast<int64_t>(scale.size()), q.data(), scale.data(), total.data(), sum.data());
  }
};

bool same_bits(const std::vector<float>& x, const std::vector<float>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

TEST(Int8ProductTest, EveryInstructionSetOfThisCpuGivesTheBitsOfThePlainForm) {
  constexpr int64_t kBlocks = 5, kMost = 13;
  const std::vector<int8::Kernel> kernels = int8::kernels();
  const torch::Tensor x = normal({kMost * kBlocks * int8::kBlock}, 2);
  const std::vector<float> numbers(x.const_data_ptr<float>(), x.const_data_ptr<float>() + x.numel());
  const Quantized input(kernels.front(), numbers);
  for (const Format format : kFormats) {
    const std::vector<std::byte> panel = random_panel(format, kBlocks, 7 + static_cast<uint64_t>(format));
    std::vector<float> expected(kMost * int8::kPanelRows);
    const int8::Activations all = {.q = input.q.data(),
                                   .scale = input.scale.data(),
                                   .total = input.total.data(),
                                   .sum = input.sum.data(),
                                   .rows = kMost,
                                   .blocks = kBlocks};
    int8::multiply_plain(format, panel.data(), all, expected.data(), int8::kPanelRows);
    for (const int8::Kernel& kernel : kernels) {
      for (int64_t rows = 1; rows <= kMost; ++rows) {
        int8::Activations some = all;
        some.rows = rows;
        std::vector<float> found(static_cast<size_t>(rows * int8::kPanelRows));
        kernel.multiply(format, panel.data(), some, found.data(), int8::kPanelRows);
        EXPECT_TRUE(same_bits(found, {expected.begin(), expected.begin() + rows * int8::kPanelRows}))
            << kernel.name << ", " << rows << " rows";
      }
    }
    std::vector<float> other(expected.size());  // control
    int8::multiply_plain(format, random_panel(format, kBlocks, 70).data(), all, other.data(), int8::kPanelRows);
    EXPECT_FALSE(same_bits(other, expected));
  }
}

TEST(Int8ProductTest, RowsAreRoundedAlikeByEveryInstructionSet) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  const torch::Tensor drawn = normal({7 * int8::kBlock}, 3);
  std::vector<float> x(drawn.const_data_ptr<float>(), drawn.const_data_ptr<float>() + drawn.numel());
  std::fill_n(x.begin() + 1 * int8::kBlock, int8::kBlock, 0.0F);
  std::fill_n(x.begin() + 2 * int8::kBlock, int8::kBlock, 1e-38F);
  x[3 * int8::kBlock + 5] = kNan;
  x[4 * int8::kBlock + 31] = -kInfinity;
  for (int64_t i = 0; i < int8::kBlock; ++i) x[5 * int8::kBlock + i] = static_cast<float>(i) + 0.5F;  // ties at 63.5
  x[5 * int8::kBlock] = 127;
  const Quantized expected(int8::kernels().front(), x);
  EXPECT_EQ(*std::max_element(expected.q.begin(), expected.q.end()), 127);
  EXPECT_EQ(expected.scale[1], 0);
  EXPECT_TRUE(std::isnan(expected.scale[3]) && std::isnan(expected.sum[4]));
  for (const int8::Kernel& kernel : int8::kernels()) {
    const Quantized found(kernel, x);
    EXPECT_EQ(found.q, expected.q) << kernel.name;
    for (size_t b = 0; b < found.scale.size(); ++b) {
      if (b == 3 || b == 4) {
        EXPECT_TRUE(std::isnan(found.scale[b]) && std::isnan(found.sum[b])) << kernel.name;
        continue;
      }
      EXPECT_EQ(found.scale[b], expected.scale[b]) << kernel.name;
      EXPECT_EQ(found.total[b], expected.total[b]) << kernel.name;
      EXPECT_EQ(found.sum[b], expected.sum[b]) << kernel.name;
    }
  }
}

/// Widths that fill no block, rows that fill no panel, two parts: near the product in float64, and a row's bits are its
/// own.
TEST(Int8ProductTest, PlainNumbersAreRoundedToEightBits) {
  const torch::Tensor first = normal({19, 100}, 1), second = normal({33, 100}, 2), x = normal({70, 100}, 3);
  const Int8Weight weight({block_view(first), block_view(second.to(torch::kBFloat16))});
  EXPECT_EQ(weight.rows(), 52);
  torch::Tensor found = torch::empty({70, 55});
  weight.multiply_(found, x);
  const torch::Tensor product = x.to(torch::kFloat64).matmul(torch::cat({first, second}).to(torch::kFloat64).t());
  EXPECT_TRUE(close(found.narrow(1, 0, 52), product, 0.02));
  EXPECT_FALSE(close(found.narrow(1, 0, 52), product.roll(1, 1), 0.02));  // control
  for (const int64_t rows : {1, 2, 4, 5, 16, 64}) {
    torch::Tensor part = torch::empty({rows, 52});
    weight.multiply_(part, x.narrow(0, 70 - rows, rows));
    EXPECT_TRUE(part.equal(found.narrow(0, 70 - rows, rows).narrow(1, 0, 52))) << rows;
  }
  torch::Tensor wrong = x.clone();
  wrong[3][7] = std::numeric_limits<float>::quiet_NaN();
  torch::Tensor beside = torch::empty({70, 52});
  weight.multiply_(beside, wrong);
  EXPECT_TRUE(beside[3].isnan().all().item<bool>());  // a row that is not finite says so, and is alone in it
  EXPECT_TRUE(beside[4].equal(found[4].narrow(0, 0, 52)));
}

/// Every row is told once, when the tail's columns of it are there; every column of the others once, when all rows have
/// told theirs and its own numbers are there.
TEST(Int8ProductTest, WorkGoesAlongOnceAndInOrder) {
  const torch::Tensor w = normal({120, 64}, 1), tail = normal({20, 64}, 2), x = normal({37, 64}, 3);
  const Int8Weight weight({block_view(w)}, tail), apart({block_view(w), block_view(tail)});
  EXPECT_EQ(weight.rows(), 140);
  for (const int64_t rows : {1, 5, 37}) {
    const torch::Tensor input = x.narrow(0, 0, rows);
    torch::Tensor expected = torch::empty({rows, 140}), found = torch::full({rows, 140}, -7.0F);
    apart.multiply_(expected, input);
    std::vector<std::atomic<int>> row_told(static_cast<size_t>(rows)), column_told(120);
    std::atomic<int> wrong = 0;
    const auto same = [&](int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
      const auto part = [&](const torch::Tensor& y) {
        return y.narrow(0, row, row_end - row).narrow(1, column, column_end - column);
      };
      return part(found).equal(part(expected));
    };
    Alongside alongside;
    alongside.rows = [&](int64_t begin, int64_t end) {
      if (!same(begin, end, 120, 140)) ++wrong;
      for (int64_t row = begin; row < end; ++row) ++row_told[static_cast<size_t>(row)];
    };
    alongside.columns = [&](int64_t column, int64_t end) {
      if (!same(0, rows, column, end)) ++wrong;
      if (std::any_of(row_told.begin(), row_told.end(), [](const auto& told) { return told != 1; })) ++wrong;
      for (int64_t c = column; c < end; ++c) ++column_told[static_cast<size_t>(c)];
    };
    weight.multiply_(found, input, alongside);
    EXPECT_TRUE(found.equal(expected)) << rows;
    EXPECT_EQ(wrong, 0) << rows;
    EXPECT_TRUE(std::all_of(column_told.begin(), column_told.end(), [](const auto& told) { return told == 1; }))
        << rows;
  }
}

}  // namespace
}  // namespace loraxs
