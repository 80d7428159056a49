#include "ops/paged_attention.h"

#include <gtest/gtest.h>

#include "io/error.h"
#include "io/seeds.h"
#include "support/close.h"
#include "support/random_tensor.h"

namespace loraxs {
namespace {

torch::Tensor ints(const std::vector<int32_t>& values) { return torch::tensor(values, torch::kInt32); }

/// Sequences of some lengths, computed in one batch or in chunks over blocks in a mixed order.
struct PagedCase {
  AttentionShape shape;
  std::vector<int32_t> lengths;
  torch::Tensor rows;  // [tokens, width]: queries, keys, values, three columns of something else
  AttentionColumns columns;
  PagedBlocks blocks;
  torch::Tensor block_tables;

  PagedCase(AttentionShape given, std::vector<int32_t> sequence_lengths, torch::ScalarType dtype)
      : shape(given), lengths(std::move(sequence_lengths)) {
    const int64_t width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
    columns = {.query = 0, .key = width, .value = width + kv_width};
    int64_t tokens = 0, most = 0;
    for (const int32_t length : lengths) {
      tokens += length;
      most = std::max<int64_t>(most, (length + kKeysPerBlock - 1) / kKeysPerBlock);
    }
    rows = test::normal({tokens, width + 2 * kv_width + 3}, 5, dtype);
    const auto sequences = static_cast<int64_t>(lengths.size());
    const std::vector<int64_t> order = permutation(sequences * most, 3);
    block_tables = torch::empty({sequences, most}, torch::kInt32);
    for (int64_t i = 0; i < sequences * most; ++i) block_tables.data_ptr<int32_t>()[i] = static_cast<int32_t>(order[i]);
    // What was never written must not matter.
    blocks.keys = torch::full({sequences * most, shape.kv_heads, shape.head_dim, kKeysPerBlock}, NAN, rows.options());
    blocks.values = torch::full({sequences * most, shape.kv_heads, kKeysPerBlock, shape.head_dim}, NAN, rows.options());
  }

  AttentionIndex whole_index() const {
    std::vector<int32_t> starts = {0}, positions;
    for (const int32_t length : lengths) {
      starts.push_back(starts.back() + length);
      for (int32_t p = 0; p < length; ++p) positions.push_back(p);
    }
    const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
    return {.query_starts = RowStarts::of(starts),
            .key_starts = RowStarts::of(starts),
            .query_positions = ints(positions),
            .dropout_keys = torch::zeros({static_cast<int64_t>(lengths.size())}, torch::kInt64),
            .max_queries = longest,
            .max_keys = longest};
  }

  /// Every sequence in chunks of at most `chunk` tokens -> [tokens, heads · head_dim] in the order of `rows`.
  template <typename Attention>
  torch::Tensor in_chunks(int32_t chunk, Attention attention) {
    const AttentionIndex whole = whole_index();
    const std::vector<int32_t>& starts = whole.query_starts.host;
    torch::Tensor out = torch::empty({rows.size(0), shape.heads * shape.head_dim}, rows.options());
    for (int32_t done = 0; done < whole.max_keys; done += chunk) {
      std::vector<int32_t> chunk_starts = {0}, positions;
      std::vector<int64_t> places;
      for (size_t s = 0; s < lengths.size(); ++s) {
        for (int32_t p = done; p < std::min(lengths[s], done + chunk); ++p) {
          positions.push_back(p);
          places.push_back(starts[s] + p);
        }
        chunk_starts.push_back(static_cast<int32_t>(positions.size()));
      }
      const torch::Tensor index = torch::tensor(places, torch::kInt64), chunk_rows = rows.index_select(0, index);
      const PagedIndex paged{
          .block_tables = block_tables, .row_starts = RowStarts::of(chunk_starts), .positions = ints(positions)};
      store_in_blocks_(blocks, chunk_rows, columns, shape, paged);
      const AttentionIndex asks{.query_starts = paged.row_starts, .query_positions = paged.positions};
      out.index_copy_(0, index, attention(chunk_rows, blocks, columns.query, shape, paged, asks));
    }
    return out;
  }
};

const std::vector<int32_t> kLengths = {1, 37, 16, 5, 33, 130};

AttentionShape shape(int64_t heads, int64_t kv_heads, int64_t head_dim, int64_t window = 0) {
  return {.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .scale = 0.31, .causal = true, .window = window};
}

TEST(PagedAttentionTest, EqualsAttentionWithoutACache) {
  const std::vector<std::pair<torch::ScalarType, double>> precisions = {
      {torch::kFloat32, 1e-6}, {torch::kBFloat16, 4e-3}, {torch::kFloat64, 1e-14}};
  for (const auto& [dtype, tolerance] : precisions) {
    for (const AttentionShape& heads : {shape(9, 3, 64), shape(2, 2, 6), shape(4, 1, 24), shape(4, 2, 24, 1),
                                        shape(4, 2, 24, 21), shape(6, 2, 16, 64)}) {
      SCOPED_TRACE(concat(dtype, " ", heads.heads, " heads of ", heads.head_dim, ", window ", heads.window));
      PagedCase c(heads, kLengths, dtype);
      const torch::Tensor expected =
          varlen_attention_plain(c.rows, c.rows, c.columns, c.shape, c.whole_index(), Dropout{});
      EXPECT_TRUE(test::close(c.in_chunks(1000, paged_attention), expected, tolerance));
      EXPECT_TRUE(test::close(c.in_chunks(1000, paged_attention_plain), expected, tolerance));
    }
  }
}

TEST(PagedAttentionTest, ChunksAndSingleStepsGiveTheSameBits) {
  for (const torch::ScalarType dtype : {torch::kFloat32, torch::kBFloat16}) {
    for (const int64_t window : {0, 21, 64}) {
      PagedCase c(shape(9, 3, 64, window), kLengths, dtype);
      const torch::Tensor whole = c.in_chunks(1000, paged_attention);
      for (const int32_t chunk : {1, 7, 16, 50}) {
        PagedCase again(shape(9, 3, 64, window), kLengths, dtype);
        EXPECT_TRUE(again.in_chunks(chunk, paged_attention).equal(whole))
            << dtype << " chunk " << chunk << " window " << window;
      }
      PagedCase other(shape(9, 3, 64, window == 0 ? 100 : window + 1), kLengths, dtype);
      EXPECT_FALSE(test::close(other.in_chunks(1000, paged_attention), whole, 1e-2));  // control
    }
  }
}

TEST(PagedAttentionTest, OtherBlockTablesGiveSomethingElse) {
  PagedCase c(shape(4, 2, 16), {40, 40}, torch::kFloat32);
  const torch::Tensor expected = c.in_chunks(1000, paged_attention);
  const auto swapped = [&](const torch::Tensor& queries, const PagedBlocks& blocks, int64_t column,
                           const AttentionShape& heads, PagedIndex index, const AttentionIndex& asks) {
    index.block_tables = index.block_tables.flip(0).contiguous();
    return paged_attention(queries, blocks, column, heads, index, asks);
  };
  EXPECT_FALSE(test::close(c.in_chunks(1000, swapped), expected, 1e-2));
}

}  // namespace
}  // namespace loraxs
