#include "ops/block_tensor.h"

#include <gtest/gtest.h>

#include <cstring>

#include "io/gguf.h"
#include "io/safetensors.h"
#include "ops/frozen_gemm.h"
#include "ops/frozen_weight.h"
#include "ops/int8_weight.h"
#include "support/close.h"
#include "support/oracle_folder.h"
#include "support/random_tensor.h"

namespace loraxs {
namespace {

using test::close;
using test::normal;

/// The random blocks of every type that tests/oracles/make_gguf.py wrote.
class BlockTensorTest : public testing::Test {
 protected:
  Gguf file = read_gguf(test::oracle_folder() / "gguf" / "blocks.gguf");
  Safetensors expected = read_safetensors(test::oracle_folder() / "gguf" / "blocks.safetensors");

  BlockTensor block(const std::string& name) const {
    const GgufTensor& tensor = file.tensor(name);
    return {.type = tensor.type, .shape = tensor.shape, .bytes = tensor.bytes, .owner = tensor.file};
  }
  /// Where a block's scale stands if not at its beginning, else 0.
  static int64_t scale_behind(BlockType type) {
    return type == BlockType::kQ2_K ? 80 : type == BlockType::kQ3_K ? 108 : type == BlockType::kQ6_K ? 208 : 0;
  }
  /// The same with scales of a common size, so that sums make sense: every 16-bit scale becomes about 0.01.
  std::pair<BlockTensor, torch::Tensor> sane(const std::string& name) const {
    BlockTensor tensor = block(name);
    torch::Tensor values = dequantize(tensor);
    auto bytes = std::make_shared<std::vector<std::byte>>(tensor.bytes.begin(), tensor.bytes.end());
    const BlockTypeInfo& type = block_type_info(tensor.type);
    const uint16_t scale = 0x211F;
    for (size_t at = 0; at < bytes->size(); at += type.block_bytes) {
      if (const int64_t last = scale_behind(type.type); last > 0) std::memcpy(bytes->data() + at + last, &scale, 2);
      if (type.type == BlockType::kQ2_K) std::memcpy(bytes->data() + at + 82, &scale, 2);
      if (type.block_elements == 1) {
        if (type.type == BlockType::kF32)
          (*bytes)[at + 3] = std::byte{0x3C};
        else
          (*bytes)[at + 1] = std::byte{0x3C};
      } else if (scale_behind(type.type) == 0) {
        std::memcpy(bytes->data() + at, &scale, 2);
        const bool has_second = type.type == BlockType::kQ4_1 || type.type == BlockType::kQ5_1 ||
                                type.type == BlockType::kQ4_K || type.type == BlockType::kQ5_K;
        if (has_second) std::memcpy(bytes->data() + at + 2, &scale, 2);
      }
    }
    tensor.bytes = *bytes;
    tensor.owner = bytes;
    values = dequantize(tensor);
    return {tensor, values};
  }
};

TEST_F(BlockTensorTest, EveryTypeIsBitEqualToTheGgufPackage) {
  EXPECT_EQ(expected.tensors.size(), 15U);
  for (const auto& [name, view] : expected.tensors) {
    SCOPED_TRACE(name);
    const torch::Tensor found = dequantize(block(name));
    const auto* x = found.const_data_ptr<float>();
    const auto* y = reinterpret_cast<const float*>(view.bytes.data());
    int64_t numbers = 0, different = 0;
    for (int64_t i = 0; i < found.numel(); ++i) {
      if (std::isnan(x[i]) && std::isnan(y[i])) continue;  // random scales are NaN at times; their bits mean nothing
      different += std::memcmp(x + i, y + i, sizeof(float)) != 0 ? 1 : 0;
      ++numbers;
    }
    EXPECT_EQ(different, 0);
    EXPECT_GT(numbers, found.numel() / 2);
  }
}

TEST_F(BlockTensorTest, RowsAndHalvesAreThoseOfTheWhole) {
  const auto [tensor, whole] = sane("Q4_K");
  const torch::Tensor ids = torch::tensor({6, 0, 3, 3}, torch::kInt64);
  EXPECT_TRUE(gather_rows(tensor, ids, torch::kFloat32).equal(whole.index_select(0, ids)));
  EXPECT_TRUE(gather_rows(tensor, ids, torch::kBFloat16).equal(whole.index_select(0, ids).to(torch::kBFloat16)));
  EXPECT_TRUE(dequantize(tensor, torch::kBFloat16).equal(whole.to(torch::kBFloat16)));
  torch::Tensor part = torch::empty({3, whole.size(1)});
  dequantize_rows_(part, tensor, 2, 5);
  EXPECT_TRUE(part.equal(whole.narrow(0, 2, 3)));
}

TEST_F(BlockTensorTest, RowsTimesBlocksEqualTheProductOfTheNumbers) {
  for (const auto& [name, view] : expected.tensors) {
    SCOPED_TRACE(name);
    const auto [tensor, values] = sane(name);
    const torch::Tensor x = normal({5, values.size(1)}, 3);
    torch::Tensor found = torch::empty({5, values.size(0)}), one = torch::empty({1, values.size(0)});
    block_product_(found, x, tensor);
    EXPECT_TRUE(close(found, x.to(torch::kFloat64).matmul(values.to(torch::kFloat64).t()), 1e-6));
    block_product_(one, x.narrow(0, 3, 1), tensor);
    EXPECT_TRUE(one.equal(found.narrow(0, 3, 1)));  // whoever stands beside it
    const torch::Tensor half = x.to(torch::kBFloat16);
    torch::Tensor rounded = torch::empty({5, values.size(0)}, torch::kBFloat16);
    block_product_(rounded, half, tensor);
    EXPECT_TRUE(close(rounded, half.to(torch::kFloat64).matmul(values.to(torch::kFloat64).t()), 4e-3));  // 2⁻⁸
  }
}

TEST_F(BlockTensorTest, StoredWeightsMultiplyAsPackedOnes) {
  const auto [first, first_values] = sane("Q4_1");
  const auto [second, second_values] = sane("BF16");
  const torch::Tensor tail = normal({4, first_values.size(1)}, 5),
                      whole = torch::cat({first_values, second_values, tail});
  const torch::Tensor bias = normal({whole.size(0)}, 6);
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16, torch::kFloat64}) {
    const FrozenWeight stored = FrozenWeight::stored({first, second}, tail.to(dtype), dtype);
    const FrozenWeight packed = FrozenWeight::packed(whole.to(dtype), /*both_ways=*/true);
    EXPECT_EQ(stored.out_features(), packed.out_features());
    const double tolerance = dtype == torch::kBFloat16 ? 1e-2 : 1e-6;
    for (const int64_t rows : {1, 8, 9, 40}) {
      const torch::Tensor x = normal({rows, whole.size(1)}, 7).to(dtype),
                          dy = normal({rows, whole.size(0)}, 8).to(dtype), expected = packed.forward(x, bias.to(dtype));
      const AnswerRows answers{.answers = torch::arange(rows, torch::kInt64)};
      EXPECT_TRUE(close(stored.forward(x, bias.to(dtype)), expected, tolerance));
      EXPECT_TRUE(close(stored.forward(x, bias.to(dtype), answers), expected, tolerance));
      EXPECT_TRUE(close(stored.backward(dy), packed.backward(dy), tolerance));
      EXPECT_FALSE(close(stored.forward(x, {}), packed.forward(x, bias.to(dtype)), tolerance));  // control
    }
  }
}

/// Every count from 1 to 70, prompts, answers and both: a row's bits follow from its kind alone.
TEST_F(BlockTensorTest, RowsOfOneKindHaveTheSameBitsInAnyCompany) {
  const auto [first, first_values] = sane("Q4_1");
  const auto [second, second_values] = sane("Q6_K");
  constexpr int64_t kMost = 70;
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    SCOPED_TRACE(dtype);
    if (!row_invariant(dtype)) GTEST_SKIP() << "rows of this machine's " << dtype << " GEMM depend on the batch";
    const torch::Tensor tail = normal({5, first_values.size(1)}, 5).to(dtype);
    const FrozenWeight stored = FrozenWeight::stored({first, second}, tail, dtype);
    const FrozenWeight packed =
        FrozenWeight::packed(torch::cat({first_values.to(dtype), second_values.to(dtype), tail}), /*both_ways=*/false);
    const torch::Tensor x = normal({kMost, first_values.size(1)}, 7).to(dtype), all = torch::arange(kMost);
    const auto kinds = [&](const torch::Tensor& is_answer) {
      const torch::Tensor answers = is_answer.nonzero().select(1, 0), others = is_answer.eq(0).nonzero().select(1, 0);
      return AnswerRows{.answers = answers.numel() > 0 ? answers : torch::Tensor(),
                        .others = others.numel() > 0 ? others : torch::Tensor()};
    };
    const torch::Tensor as_prompts = stored.forward(x, {}), as_packed = packed.forward(x, {}),
                        as_answers = stored.forward(x, {}, {.answers = all});
    EXPECT_TRUE(as_prompts.equal(as_packed));
    EXPECT_FALSE(dtype == torch::kFloat32 && as_answers.equal(as_prompts));  // control: two orders of additions
    for (int64_t rows = 1; rows <= kMost; ++rows) {
      const torch::Tensor part = x.narrow(0, kMost - rows, rows);
      const auto last = [&](const torch::Tensor& whole) { return whole.narrow(0, kMost - rows, rows); };
      EXPECT_TRUE(packed.forward(part, {}).equal(last(as_packed))) << rows;
      EXPECT_TRUE(stored.forward(part, {}).equal(last(as_prompts))) << rows;
      EXPECT_TRUE(stored.forward(part, {}, {.answers = all.narrow(0, 0, rows)}).equal(last(as_answers))) << rows;
      const torch::Tensor is_answer = all.narrow(0, 0, rows).remainder(3).ne(1);
      EXPECT_TRUE(stored.forward(part, {}, kinds(is_answer))
                      .equal(torch::where(is_answer.unsqueeze(1), last(as_answers), last(as_prompts))))
          << rows;
    }
  }
}

/// Types whose integers are kept give the product of the file's own numbers with the rounded x; others are rounded.
TEST_F(BlockTensorTest, SmallIntegersMultiplyAsTheBlocksTheyCameFrom) {
  for (const auto& [name, view] : expected.tensors) {
    SCOPED_TRACE(name);
    const auto [tensor, values] = sane(name);
    torch::Tensor x = normal({9, values.size(1)}, 3);
    x = (x * 20).round().clamp(-127, 127);
    for (int64_t c = 0; c < x.size(1); c += 32) x.select(1, c).fill_(127);  // every block's scale is 1: x is exact
    torch::Tensor found = torch::empty({9, values.size(0)});
    Int8Weight({tensor}).multiply_(found, x);
    const bool kept = name == "Q4_0" || name == "Q4_1" || name == "Q4_K" || name == "Q8_0";
    EXPECT_TRUE(close(found, x.to(torch::kFloat64).matmul(values.to(torch::kFloat64).t()), kept ? 2e-6 : 1e-2));
  }
}

TEST_F(BlockTensorTest, RowsOfAnswersMeetStoredBlocksBesidePackedWeights) {
  const auto [first, first_values] = sane("Q4_1");
  const torch::Tensor tail = normal({5, first_values.size(1)}, 5), x = normal({6, first_values.size(1)}, 7);
  const torch::Tensor bias = normal({first_values.size(0) + 5}, 6);
  const FrozenWeight stored = FrozenWeight::stored({first}, tail, torch::kFloat32);
  FrozenWeight packed = FrozenWeight::packed(torch::cat({first_values, tail}), /*both_ways=*/false);
  const torch::Tensor as_prompts = packed.forward(x, bias);
  packed.add_answers({first}, tail);
  EXPECT_TRUE(packed.forward(x, bias).equal(as_prompts));
  const AnswerRows some{.answers = torch::tensor({1, 4}, torch::kInt64),
                        .others = torch::tensor({0, 2, 3, 5}, torch::kInt64)};
  const torch::Tensor mixed = packed.forward(x, bias, some),
                      as_answers = stored.forward(x, bias, {.answers = torch::arange(6)});
  EXPECT_TRUE(mixed.index_select(0, some.answers).equal(as_answers.index_select(0, some.answers)));
  EXPECT_TRUE(close(mixed.index_select(0, some.others), as_prompts.index_select(0, some.others), 1e-6));
  EXPECT_FALSE(packed.has_backward());
}

TEST(BlockTensorRowsTest, InterleavedHeadsAreReadInHuggingFacesOrder) {
  const torch::Tensor weight = normal({24, 8}, 1);  // 3 heads of 8 rows
  const torch::Tensor stored = weight.view({3, 2, 4, 8}).transpose(1, 2).reshape({24, 8}).contiguous();
  BlockTensor tensor{.type = BlockType::kF32, .shape = {24, 8}};
  tensor.bytes = std::span(static_cast<const std::byte*>(stored.const_data_ptr()), stored.nbytes());
  EXPECT_FALSE(dequantize(tensor).equal(weight));
  tensor.interleaved_heads = 3;
  EXPECT_TRUE(dequantize(tensor).equal(weight));
}

}  // namespace
}  // namespace loraxs
