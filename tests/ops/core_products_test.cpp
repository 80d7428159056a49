#include "ops/core_products.h"

#include <gtest/gtest.h>

#include <numeric>

#include "ops/adapted_linear.h"
#include "support/close.h"
#include "support/fused_operator.h"
#include "support/random_tensor.h"

namespace loraxs {
namespace {

using test::normal;

/// Three sites of a joined projection whose columns lie apart, and four rows of a bank with ranks of their own.
struct CoreFixture {
  static constexpr int64_t kWidest = 64, kRow = 3 * kWidest * kWidest;
  const std::vector<int64_t> ranks = {64, 25, 4, 13};  // vectors of 8, of 4 and single sums
  const std::vector<int64_t> widths = {70, 16, 5};     // whole tiles and remainders
  const std::vector<double> scales = {0.5, 2.0, 1.0, 0.25};
  JoinedProjection projection;
  torch::Tensor values = normal({4, kRow}, 1), gradients = torch::zeros_like(values);

  CoreFixture() {
    int64_t column = 0;
    for (const int64_t width : widths) {
      const torch::Tensor b = normal({width, kWidest}, 20 + column);
      projection.sites.push_back(
          {.column = column, .out_features = width, .rank = kWidest, .b = b, .b_transposed = b.t().contiguous()});
      column += width;
    }
    projection.out_features = column;
    for (JoinedSite& site : projection.sites) {
      site.u_column = column;
      column += kWidest;
    }
  }
  int64_t width() const { return projection.out_features + 3 * kWidest; }
  SegmentAdapters segment(int64_t begin, int64_t end, int64_t adapter) const {
    const int64_t rank = ranks[adapter];
    std::vector<SiteParts> parts;
    for (int64_t i = 0; i < 3; ++i) {
      parts.push_back({.r = {.offset = i * kWidest * kWidest, .shape = {rank, rank}},
                       .rank = rank,
                       .divisor = 1 / scales[adapter]});
    }
    return {.begin = begin,
            .end = end,
            .row = {.values = values[adapter], .gradients = gradients[adapter], .alpha = 1},
            .table = std::make_shared<SiteTable>(SiteTable{parts})};
  }
  /// R of an adapter at a site, float64.
  torch::Tensor r(const torch::Tensor& bank, int64_t adapter, int64_t site) const {
    const int64_t rank = ranks[adapter];
    return bank[adapter].narrow(0, site * kWidest * kWidest, rank * rank).view({rank, rank}).to(torch::kFloat64);
  }
  torch::Tensor forward(const torch::Tensor& y, const std::vector<SegmentAdapters>& segments) const {
    torch::Tensor result = y.clone();
    add_core_outputs_(result, core_sites(projection, segments));
    return result;
  }
};

struct Piece {
  int64_t begin, end, adapter;
};
// Row 12 has no adapter; a slot that comes twice; one long enough for the threads to share its rows on the way back.
const std::vector<Piece> kPieces = {{0, 12, 0}, {13, 16, 1}, {16, 17, 2}, {17, 40, 3}, {40, 43, 1}, {43, 150, 2}};

std::vector<SegmentAdapters> segments_of(const CoreFixture& f, const std::vector<Piece>& pieces) {
  std::vector<SegmentAdapters> segments;
  for (const Piece& piece : pieces) segments.push_back(f.segment(piece.begin, piece.end, piece.adapter));
  return segments;
}

TEST(CoreProductsTest, EveryRowMeetsItsOwnRWithTheSameBitsInAnyCompany) {
  const CoreFixture f;
  const auto segments = segments_of(f, kPieces);
  for (const torch::ScalarType dtype : {torch::kFloat32, torch::kBFloat16}) {
    SCOPED_TRACE(dtype);
    const torch::Tensor y = normal({150, f.width()}, 2, dtype);
    const torch::Tensor found = f.forward(y, segments);
    torch::Tensor expected = y.to(torch::kFloat64);
    for (const auto& [begin, end, adapter] : kPieces) {
      const torch::Tensor rows = expected.narrow(0, begin, end - begin);
      for (int64_t i = 0; i < 3; ++i) {
        const JoinedSite& site = f.projection.sites[i];
        const int64_t rank = f.ranks[adapter];
        rows.narrow(1, site.column, site.out_features)
            .add_(rows.narrow(1, site.u_column, rank)
                      .matmul(f.r(f.values, adapter, i).t())
                      .matmul(site.b.narrow(1, 0, rank).to(torch::kFloat64).t()),
                  f.scales[adapter]);
      }
    }
    const double tolerance = dtype == torch::kFloat32 ? 1e-6 : test::kBfloatTolerance;
    EXPECT_TRUE(test::close(found, expected, tolerance));
    EXPECT_FALSE(test::close(f.forward(y, segments_of(f, {{0, 12, 3}, {17, 40, 0}})), expected, 1e-2));  // control
    EXPECT_TRUE(found[12].equal(y[12]));
    for (const int64_t count : {1, 5, 9, 30}) {  // alone, and with few and many of its neighbours
      for (const auto& [begin, end, adapter] : kPieces) {
        const int64_t rows = std::min(count, end - begin);
        const torch::Tensor alone = f.forward(y.narrow(0, begin, rows), {f.segment(0, rows, adapter)});
        EXPECT_TRUE(alone.equal(found.narrow(0, begin, rows))) << begin << " " << rows;
      }
    }
  }
}

TEST(CoreProductsTest, OutputsThatGoAlongHaveTheSameBits) {
  CoreFixture f;
  const auto segments = segments_of(f, kPieces);
  const torch::Tensor y = normal({150, f.width()}, 2);
  const auto along = [&] {
    torch::Tensor found = y.clone();
    const std::vector<CoreSite> cores = core_sites(f.projection, segments);
    CoreOutputs outputs(found, cores);
    const Alongside work = outputs.alongside();
    for (const auto& [begin, end] : {std::pair{0, 15}, {15, 16}, {16, 101}, {101, 150}}) work.rows(begin, end);
    for (const auto& [column, end] : {std::pair{0, 3}, {3, 80}, {80, 91}}) work.columns(column, end);
    return found;
  };
  const torch::Tensor whole = f.forward(y, segments);
  EXPECT_TRUE(along().equal(whole));
  for (JoinedSite& site : f.projection.sites) site.b_transposed = site.b_transposed.to(torch::kBFloat16);
  const torch::Tensor halves = along();
  EXPECT_TRUE(f.forward(y, segments).equal(halves));
  EXPECT_FALSE(halves.equal(whole));  // control
  for (JoinedSite& site : f.projection.sites) site.b_transposed = site.b_transposed.to(torch::kFloat32);
  EXPECT_TRUE(f.forward(y, segments).equal(halves));  // the rounded numbers, and nothing else rounded
}

TEST(CoreProductsTest, GradientsEqualThePlainFormAndThoseOfEachSlotAlone) {
  const CoreFixture f;
  for (const torch::ScalarType dtype : {torch::kFloat32, torch::kBFloat16}) {
    SCOPED_TRACE(dtype);
    const int64_t out = f.projection.out_features;
    const torch::Tensor dy = normal({150, f.width()}, 3, dtype), u = normal({150, f.width() - out}, 4, dtype);
    const auto run = [&](const std::vector<Piece>& pieces, bool needs_du) {
      f.gradients.zero_();
      torch::Tensor result = dy.clone();
      core_backward_(result, u, out, core_sites(f.projection, segments_of(f, pieces)), needs_du);
      return std::pair{result, f.gradients.clone()};
    };
    const auto [found, gradients] = run(kPieces, true);
    torch::Tensor expected = dy.to(torch::kFloat64),
                  expected_gradients = torch::zeros({4, CoreFixture::kRow}, torch::kFloat64);
    for (const auto& [begin, end, adapter] : kPieces) {
      for (int64_t i = 0; i < 3; ++i) {
        const JoinedSite& site = f.projection.sites[i];
        const int64_t rank = f.ranks[adapter], count = end - begin;
        const torch::Tensor rows = expected.narrow(0, begin, count);
        const torch::Tensor v =
            rows.narrow(1, site.column, site.out_features).matmul(site.b.narrow(1, 0, rank).to(torch::kFloat64)) *
            f.scales[adapter];
        f.r(expected_gradients, adapter, i)
            .add_(v.t().matmul(u.narrow(0, begin, count).narrow(1, site.u_column - out, rank).to(torch::kFloat64)));
        rows.narrow(1, site.u_column, rank).copy_(v.matmul(f.r(f.values, adapter, i)));
      }
    }
    const double tolerance = dtype == torch::kFloat32 ? 2e-6 : test::kBfloatTolerance;
    EXPECT_TRUE(test::close(found, expected, tolerance));
    EXPECT_TRUE(test::close(gradients, expected_gradients, 2e-6));
    EXPECT_FALSE(test::close(gradients.flip(0), expected_gradients, 1e-2));  // control: slots permuted
    const auto [untouched, same] = run(kPieces, false);
    EXPECT_TRUE(untouched.equal(dy));
    EXPECT_TRUE(same.equal(gradients));
    for (int64_t adapter = 0; adapter < 4; ++adapter) {
      std::vector<Piece> own;
      std::copy_if(kPieces.begin(), kPieces.end(), std::back_inserter(own),
                   [&](const Piece& piece) { return piece.adapter == adapter; });
      EXPECT_TRUE(run(own, true).second[adapter].equal(gradients[adapter])) << adapter;
    }
  }
}

}  // namespace
}  // namespace loraxs
