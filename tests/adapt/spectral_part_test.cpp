#include "adapt/spectral_part.h"

#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "model/base_model.h"
#include "support/oracle_folder.h"

namespace loraxs {
namespace {

double largest_difference(const torch::Tensor& x, const torch::Tensor& y) { return (x - y).abs().max().item<double>(); }

class SpectralPartTest : public testing::TestWithParam<std::string> {
 protected:
  torch::Tensor tensor(const std::string& name) const { return view_tensor(file_.at(GetParam() + "." + name)).clone(); }
  Safetensors file_ = read_safetensors(test::oracle_folder() / "spectra/spectra.safetensors");
};

TEST_P(SpectralPartTest, PartsAreNumpys) {
  const SingularTriples triples = all_triples(tensor("weight"));
  for (const char* vectors : {"top", "middle", "bottom"}) {
    for (const char* share : {"0.01", "0.1", "0.5"}) {
      SCOPED_TRACE(std::string(vectors) + " " + share);
      const SpectralPart part{.vectors = vectors, .share = std::stod(share)};
      const std::string key = std::string(vectors) + "." + share;
      EXPECT_LT(largest_difference(kept_part(triples, part), tensor(key + ".kept")), 1e-6);
      EXPECT_LT(largest_difference(projected_delta(triples, part, tensor("delta")), tensor(key + ".projected")), 1e-6);
      // Control: another part is another matrix.
      const SpectralPart other{.vectors = std::string(vectors) == "top" ? "bottom" : "top", .share = part.share};
      EXPECT_GT(largest_difference(projected_delta(triples, other, tensor("delta")), tensor(key + ".projected")), 1e-3);
    }
  }
}

TEST_P(SpectralPartTest, AllVectorsChangeNothing) {
  const SingularTriples triples = all_triples(tensor("weight"));
  EXPECT_LT(largest_difference(kept_part(triples, {}), tensor("weight")), 1e-12);
  EXPECT_EQ(largest_difference(projected_delta(triples, {}, tensor("delta")), tensor("delta")), 0);
}

INSTANTIATE_TEST_SUITE_P(Shapes, SpectralPartTest, testing::Values("wide", "tall", "square"));

TEST(TripleRangeTest, PartsLieAtTheirPlaces) {
  const TripleRange top = triples_of({"top", 0.1}, 40), middle = triples_of({"middle", 0.1}, 40),
                    bottom = triples_of({"bottom", 0.1}, 40);
  EXPECT_EQ(top.begin, 0);
  EXPECT_EQ(top.end, 4);
  EXPECT_EQ(middle.begin, 18);
  EXPECT_EQ(bottom.begin, 36);
  EXPECT_EQ(bottom.end, 40);
  EXPECT_EQ(triples_of({"top", 0.01}, 40).end, 1);  // at least one
}

}  // namespace
}  // namespace loraxs
