#include "ops/slot_products.h"

#include <gtest/gtest.h>

#include "io/error.h"
#include "support/close.h"
#include "support/random_tensor.h"

namespace loraxs {
namespace {

TEST(SlotProductsTest, EveryRowMeetsItsOwnMatrixWithTheSameBitsInAnyCompany) {
  const std::vector<int64_t> ranks = {64, 25, 4, 13};  // vectors of 8, of 4 and single sums
  const int64_t row = 64 * 64 + 3;
  const torch::Tensor bank = test::normal({4, row}, 1);
  std::vector<RowTensor> matrices;
  for (int64_t a = 0; a < 4; ++a)
    matrices.push_back({.values = bank, .adapter = a, .offset = a, .shape = {ranks[a], ranks[a]}});
  for (const torch::ScalarType dtype : {torch::kFloat32, torch::kBFloat16}) {
    SCOPED_TRACE(dtype);
    const torch::Tensor u = test::normal({40, 70}, 2, dtype).narrow(1, 3, 64);
    // Rows 0-11 use adapter 0, 12 has none, 13-15 use 1, 16 uses 2, 17-39 use 3.
    const std::vector<SlotMatrix> segments = {{0, 12, &matrices[0], 0.5},
                                              {13, 16, &matrices[1], 2.0},
                                              {16, 17, &matrices[2], 1.0},
                                              {17, 40, &matrices[3], 0.25}};
    const torch::Tensor z = slot_products(u, segments);
    torch::Tensor expected = torch::zeros({40, 64});
    for (const SlotMatrix& segment : segments) {
      const int64_t rank = segment.r->shape[0], count = segment.end - segment.begin;
      expected.narrow(0, segment.begin, count)
          .narrow(1, 0, rank)
          .copy_(
              u.narrow(0, segment.begin, count).narrow(1, 0, rank).to(torch::kFloat32).matmul(segment.r->value().t()) *
              segment.scale);
    }
    EXPECT_TRUE(test::close(z, expected, 1e-6));
    EXPECT_EQ(z[12].abs().max().item<float>(), 0);
    for (int64_t i = 0; i < 40; ++i) {  // alone: another kernel for rows of long segments
      for (const SlotMatrix& segment : segments) {
        if (i < segment.begin || i >= segment.end) continue;
        const torch::Tensor alone = slot_products(u.narrow(0, i, 1), {{0, 1, segment.r, segment.scale}});
        EXPECT_TRUE(alone.equal(z.narrow(0, i, 1))) << "row " << i;
      }
    }
  }
}

}  // namespace
}  // namespace loraxs
