#include "adapt/basis.h"

#include <ATen/Parallel.h>
#include <ATen/ops/linalg_svd.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "adapt/svd.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/random_tensor.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using test::normal;

/// out × in with σ_i ∝ i^-0.35, as measured spectra decay.
torch::Tensor decaying(int64_t out, int64_t in, uint64_t seed) {
  const auto [u, s, v] = at::linalg_svd(normal({out, in}, seed, torch::kFloat64), false);
  const torch::Tensor sigma = torch::arange(1, s.size(0) + 1, torch::kFloat64).pow(-0.35);
  return (u * sigma).matmul(v);
}

TEST(SvdTest, BothResidualsAreTinyOnEveryShape) {
  for (const auto& [out, in, rank] :
       {std::tuple{300, 300, 12}, {96, 400, 16}, {400, 96, 16}, {40, 40, 40}, {1, 30, 1}, {30, 1, 1}, {260, 260, 5}}) {
    SCOPED_TRACE(testing::Message() << out << "x" << in << " rank " << rank);
    const torch::Tensor w = decaying(out, in, 3);
    const SingularTriples t = leading_triples(w, rank);
    const double first = t.s[0].item<double>();
    EXPECT_LE((w.matmul(t.v) - t.u * t.s).norm(2, 0).max().item<double>(), 1e-9 * first);
    EXPECT_LE((w.t().matmul(t.u) - t.v * t.s).norm(2, 0).max().item<double>(), 1e-9 * first);
    EXPECT_LE((t.u.t().matmul(t.u) - torch::eye(rank, torch::kFloat64)).abs().max().item<double>(), 1e-10);
    const torch::Tensor all = std::get<1>(at::linalg_svd(w, false));
    EXPECT_TRUE(test::close(t.s, all.narrow(0, 0, rank), 1e-10));
    // The basis reaches the best rank-r distance: ‖W − b a‖² = Σ_{i>r} σ_i².
    const SiteBasis basis = compute_site_basis(w, "site", {.rank = rank});
    const double left =
        (w - basis.b.to(torch::kFloat64).matmul(basis.a.to(torch::kFloat64))).square().sum().item<double>();
    const double tail = all.narrow(0, rank, all.size(0) - rank).square().sum().item<double>();
    EXPECT_LE(std::abs(left - tail), 1e-6 * w.square().sum().item<double>());
    EXPECT_TRUE(test::close(basis.a, t.v.t() * t.s.unsqueeze(1), 2e-7));  // stored as float32
    EXPECT_TRUE(test::close(basis.b, t.u, 2e-7));
  }
}

TEST(SvdTest, NumbersThatAreNoneAreRefused) {
  for (const double number : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (const int64_t width : {20, 200}) {
      torch::Tensor w = normal({width, width}, 5);
      w[3][4] = number;
      EXPECT_ERROR(leading_triples(w, 4), "the matrix to decompose: expected finite numbers, found NaN or infinity");
      EXPECT_ERROR(compute_site_basis(w, "layers.0.query", {.rank = 4}), "layers.0.query.weight: expected finite");
      EXPECT_ERROR(all_triples(w), "the matrix to decompose: expected finite numbers, found NaN or infinity");
    }
  }
  const torch::Tensor large = torch::full({20, 20}, 3e38);
  EXPECT_ERROR(compute_site_basis(large, "layers.0.query", {.rank = 2}), "layers.0.query: expected singular values in");
  EXPECT_TRUE(compute_site_basis(large, "site", {.rank = 1, .sigma = false}).a.isfinite().all().item<bool>());
}

TEST(SvdTest, ClustersOfSingularValuesSpanTheSameSubspaceFromAnotherStart) {
  // Three equal values and a gap: vectors may rotate inside the cluster, the subspace may not move.
  const auto [u, s, v] = at::linalg_svd(normal({200, 200}, 8, torch::kFloat64), false);
  torch::Tensor sigma = torch::linspace(1, 0.1, 200, torch::kFloat64);
  sigma.narrow(0, 0, 3).fill_(2);
  const torch::Tensor w = (u * sigma).matmul(v);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const SingularTriples one = leading_triples(w, 8, 1);
  at::set_num_threads(2);
  const SingularTriples two = leading_triples(w, 8, 2);
  at::set_num_threads(threads);
  const auto projector = [](const torch::Tensor& x) { return x.matmul(x.t()); };
  EXPECT_LE((projector(one.u.narrow(1, 0, 3)) - projector(two.u.narrow(1, 0, 3))).norm().item<double>(), 1e-6);
  for (int64_t i = 3; i < 8; ++i)
    EXPECT_LE((one.u.select(1, i) - two.u.select(1, i)).norm().item<double>(), 1e-6) << i;  // signs too
}

TEST(SvdTest, RankDeficientAndZeroMatrices) {
  const torch::Tensor w = normal({150, 4}, 1, torch::kFloat64).matmul(normal({4, 150}, 2, torch::kFloat64));
  const SingularTriples t = leading_triples(w, 9);
  EXPECT_LE(t.s[5].item<double>(), 1e-9 * t.s[0].item<double>());
  EXPECT_LE(std::max(t.left_residual, t.right_residual), 1e-9);
  EXPECT_EQ(leading_triples(torch::zeros({20, 30}), 3).s.abs().max().item<double>(), 0);
}

TEST(BasisTest, VariantsAreWhatTheySay) {
  const torch::Tensor w = decaying(60, 80, 5);
  const SingularTriples all = all_triples(w);
  const auto make = [&](BasisRecipe recipe) { return compute_site_basis(w, "layers.0.query", recipe); };
  const SiteBasis top = make({.rank = 8}), small = make({.rank = 3});
  EXPECT_TRUE(test::close(small.a, top.a.narrow(0, 0, 3), 1e-6));  // nested: a smaller rank is a prefix
  EXPECT_TRUE(test::close(make({.rank = 8, .sigma = false}).a.norm(2, 1), torch::ones({8}), 1e-6));
  EXPECT_TRUE(test::close(make({.rank = 4, .vectors = "bottom"}).a.norm(2, 1), all.s.narrow(0, 56, 4).flip(0), 1e-5));
  EXPECT_TRUE(test::close(make({.rank = 4, .vectors = "middle"}).a.norm(2, 1), all.s.narrow(0, 28, 4), 1e-5));
  const SiteBasis random = make({.rank = 4, .variant = "random", .seed = 1});
  EXPECT_LE(random.a.abs().max().item<float>(), 0.5F);  // U(±1/√r)
  EXPECT_LE(random.b.abs().max().item<float>(), 1 / std::sqrt(60.0F) + 1e-6F);
  EXPECT_GT(random.a.abs().max().item<float>(), 0.45F);
  const SiteBasis drawn = make({.rank = 4, .variant = "svd_of_random"});
  EXPECT_LE((drawn.b.t().matmul(drawn.b) - torch::eye(4)).abs().max().item<float>(), 1e-5F);
  EXPECT_FALSE(test::close(drawn.b, top.b.narrow(1, 0, 4), 0.1));
  EXPECT_ERROR(make({.rank = 61}), "layers.0.query: rank: expected 1 to 60, found 61");
}

Basis two_sites(uint64_t seed = 0) {
  const std::vector<Site> sites = {{.name = "layers.0.query", .in_features = 80, .out_features = 60},
                                   {.name = "layers.1.query", .in_features = 80, .out_features = 60}};
  return compute_basis(sites, [](const Site& site) { return decaying(60, 80, site.name == "layers.0.query" ? 5 : 6); },
                       "base", {.rank = 8, .seed = seed}, {});
}

TEST(FingerprintTest, NoticesEveryChangeAndNoRecomputation) {
  const std::map<std::string, int64_t> ranks = {{"layers.0.query", 8}, {"layers.1.query", 5}};
  const Basis basis = two_sites();
  const std::vector<double> expected = basis_fingerprint(basis, ranks);
  EXPECT_LE(expected.size(), 64U);
  EXPECT_TRUE(fingerprints_match(basis_fingerprint(two_sites(9), ranks), expected));  // another start block
  const auto changed = [&](const std::function<void(Basis&)>& change) {
    Basis other = two_sites();
    for (auto& [name, pair] : other.sites) pair = {.a = pair.a.clone(), .b = pair.b.clone()};
    change(other);
    return !fingerprints_match(basis_fingerprint(other, ranks), expected);
  };
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_TRUE(changed([&](Basis& b) {
      b.sites["layers.0.query"].a[i].neg_();
      b.sites["layers.0.query"].b.select(1, i).neg_();
    })) << "flipped sign of vector "
        << i;
  }
  EXPECT_TRUE(changed([](Basis& b) {
    const torch::Tensor order = torch::tensor({1, 0, 2, 3, 4, 5, 6, 7});
    b.sites["layers.1.query"] = {.a = b.sites["layers.1.query"].a.index_select(0, order),
                                 .b = b.sites["layers.1.query"].b.index_select(1, order)};
  })) << "swapped vectors";
  EXPECT_TRUE(changed([](Basis& b) { b.sites["layers.1.query"] = b.sites["layers.0.query"]; })) << "foreign site";
  EXPECT_TRUE(changed([](Basis& b) { b.sites["layers.0.query"].a.div_(b.sites["layers.0.query"].a.norm(2, 1, true)); }))
      << "no sigma";
}

TEST(BasisFileTest, MappedBackAsWrittenAndCached) {
  const test::TemporaryFolder folder;
  Basis basis = two_sites();
  write_basis(folder / "b.safetensors", basis);
  const Basis read = read_basis(folder / "b.safetensors");
  EXPECT_EQ(read.basis_id, basis.basis_id);
  EXPECT_TRUE(read.recipe == basis.recipe);
  for (const auto& [name, pair] : basis.sites) {
    EXPECT_TRUE(read.at(name).a.equal(pair.a));
    EXPECT_TRUE(read.at(name).b.equal(pair.b));
  }
  EXPECT_ERROR(read.at("layers.7.query"), "expected a basis of layers.7.query");
  int computed = 0;
  const std::vector<Site> sites = {{.name = "layers.0.query", .in_features = 80, .out_features = 60}};
  for (int i = 0; i < 2; ++i) {
    cached_basis(folder.path(), sites, [&](const Site&) { return ++computed, decaying(60, 80, 5); }, "base",
                 {.rank = 4}, {});
  }
  EXPECT_EQ(computed, 1);
}

}  // namespace
}  // namespace loraxs
