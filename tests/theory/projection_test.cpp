// The paper's theory of the subspace S = {b R a} (sections 3.1 and 3.2) as properties, in float64: on random matrices
// and on weights of MiniLM. a and b are LibTorch's: W ≈ b a, the transposes of the paper's B and A.
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_svdvals.h>
#include <gtest/gtest.h>

#include "adapt/subspace.h"
#include "adapt/svd.h"
#include "io/error.h"
#include "model/base_model.h"
#include "support/close.h"
#include "support/random_tensor.h"

namespace loraxs {
namespace {

torch::Tensor orthonormal(int64_t rows, int64_t columns, uint64_t seed) {
  return std::get<0>(at::linalg_qr(test::normal64({rows, columns}, seed), "reduced"));
}

double inner_product(const torch::Tensor& x, const torch::Tensor& y) { return (x * y).sum().item<double>(); }
double length2(const torch::Tensor& x) { return inner_product(x, x); }

SiteBasis random_basis(int64_t out, int64_t in, int64_t rank, uint64_t seed) {
  return {.a = orthonormal(in, rank, seed).t(), .b = orthonormal(out, rank, seed + 1)};
}

/// The basis of a weight's r largest triples in float64, with or without Σ.
SiteBasis basis_of(const torch::Tensor& weight, int64_t rank, bool sigma) {
  const SingularTriples triples = leading_triples(weight, rank);
  return {.a = sigma ? triples.v.t() * triples.s.unsqueeze(1) : triples.v.t(), .b = triples.u};
}

/// A matrix and a basis to look at it through.
struct Subject {
  std::string name;
  torch::Tensor weight;  // [out_features, in_features]
  SiteBasis basis;       // orthonormal
};

const std::vector<Subject>& subjects() {
  static const std::vector<Subject> all = [] {
    std::vector<Subject> result;
    for (const auto& [out, in, rank] : {std::tuple{40, 64, 5}, {64, 40, 1}, {30, 30, 30}}) {
      const auto seed = static_cast<uint64_t>(out + rank);
      result.push_back(
          {concat("random ", out, "x", in), test::normal64({out, in}, seed), random_basis(out, in, rank, seed + 7)});
    }
    const BaseModel model = load_base_model("models/minilm", "");
    for (const char* site : {"layers.0.query", "layers.5.mlp_output", "layers.3.intermediate"}) {
      const torch::Tensor weight = model.weight(site + std::string(".weight")).to(torch::kFloat64);
      result.push_back({site, weight, basis_of(weight, 8, /*sigma=*/false)});
    }
    return result;
  }();
  return all;
}

/// The formula without the inverses, which is a projection for orthonormal factors only: the control.
torch::Tensor formula(const SiteBasis& basis, const torch::Tensor& x) {
  return basis.b.matmul(basis.b.t().matmul(x).matmul(basis.a.t())).matmul(basis.a);
}

class ProjectionTest : public testing::Test {
 protected:
  template <typename Check>
  static void each(const Check& check) {
    for (const Subject& subject : subjects()) {
      SCOPED_TRACE(subject.name);
      const auto shape = subject.weight.sizes();
      check(subject, test::normal64(shape, 101), test::normal64(shape, 202));
    }
  }
};

TEST_F(ProjectionTest, T1IsAProjectionLinearAndSelfAdjoint) {
  each([](const Subject& s, const torch::Tensor& x, const torch::Tensor& y) {
    const torch::Tensor px = project_on(s.basis, x), py = project_on(s.basis, y);
    EXPECT_TRUE(test::close(px, formula(s.basis, x), 1e-12));
    EXPECT_TRUE(test::close(project_on(s.basis, px), px, 1e-12));
    EXPECT_TRUE(test::close(project_on(s.basis, 0.3 * x - 1.7 * y), 0.3 * px - 1.7 * py, 1e-12));
    EXPECT_NEAR(inner_product(px, y), inner_product(x, py), 1e-12 * x.norm().item<double>() * y.norm().item<double>());
    // Control: with Σ left in, the bare formula is no projection; the closed form is.
    const SiteBasis sigma{.a = s.basis.a * torch::linspace(3, 1.5, s.basis.a.size(0), torch::kFloat64).unsqueeze(1),
                          .b = s.basis.b};
    EXPECT_TRUE(test::close(project_on(sigma, x), px, 1e-12));
    EXPECT_FALSE(test::close(formula(sigma, formula(sigma, x)), formula(sigma, x), 0.1));
  });
}

TEST_F(ProjectionTest, T2TheRestIsOrthogonalToTheSubspace) {
  each([](const Subject& s, const torch::Tensor& x, const torch::Tensor&) {
    const torch::Tensor px = project_on(s.basis, x);
    const int64_t rank = s.basis.a.size(0);
    for (uint64_t seed = 0; seed < 3; ++seed) {
      const torch::Tensor inside = s.basis.b.matmul(test::normal64({rank, rank}, seed)).matmul(s.basis.a);
      const double sizes = x.norm().item<double>() * inside.norm().item<double>();
      EXPECT_NEAR(inner_product(x - px, inside), 0, 1e-12 * sizes);
      EXPECT_GT(std::abs(inner_product(x - 0.5 * px, inside)), 1e-6 * sizes);  // control: half of it removed
    }
    EXPECT_NEAR(length2(x), length2(px) + length2(x - px), 1e-12 * length2(x));
    EXPECT_NEAR(captured_energy(s.basis, x), length2(px) / length2(x), 1e-12);
  });
}

TEST_F(ProjectionTest, T3MapsRToTheSubspaceIsometrically) {
  each([](const Subject& s, const torch::Tensor&, const torch::Tensor&) {
    const int64_t rank = s.basis.a.size(0);
    const torch::Tensor z = test::normal64({rank, rank}, 5), inside = s.basis.b.matmul(z).matmul(s.basis.a);
    EXPECT_TRUE(test::close(project_on(s.basis, inside), inside, 1e-12));
    EXPECT_TRUE(test::close(nearest_r(s.basis, inside), z, 1e-12));
    EXPECT_NEAR(length2(inside), length2(z), 1e-12 * length2(z));
    EXPECT_NEAR(norm_of({.left = s.basis.b.matmul(z), .right = s.basis.a}), z.norm().item<double>(),
                1e-12 * z.norm().item<double>());
    const SiteBasis doubled{.a = 2 * s.basis.a, .b = s.basis.b};  // control: no isometry with Σ
    EXPECT_GT(length2(doubled.b.matmul(z).matmul(doubled.a)), 2 * length2(z));
    // dim S = r²: the images of the unit matrices are orthonormal.
    if (rank > 5) return;
    std::vector<torch::Tensor> images;
    for (int64_t i = 0; i < rank * rank; ++i) {
      torch::Tensor unit = torch::zeros({rank * rank}, torch::kFloat64);
      unit[i] = 1;
      images.push_back(s.basis.b.matmul(unit.view({rank, rank})).matmul(s.basis.a).reshape(-1));
    }
    const torch::Tensor gram = torch::stack(images).matmul(torch::stack(images).t());
    EXPECT_TRUE(test::close(gram, torch::eye(rank * rank, torch::kFloat64), 1e-12));
  });
}

TEST_F(ProjectionTest, T4DependsOnTheSubspacesAlone) {
  each([](const Subject& s, const torch::Tensor& x, const torch::Tensor&) {
    const int64_t rank = s.basis.a.size(0);
    const SiteBasis turned{.a = orthonormal(rank, rank, 11).matmul(s.basis.a),
                           .b = s.basis.b.matmul(orthonormal(rank, rank, 12))};
    EXPECT_TRUE(test::close(project_on(turned, x), project_on(s.basis, x), 1e-12));
    if (rank == x.size(0)) return;  // one subspace only
    const SiteBasis other = random_basis(x.size(0), x.size(1), rank, 13);
    EXPECT_FALSE(test::close(project_on(other, x), project_on(s.basis, x), 0.1));  // control
  });
}

TEST_F(ProjectionTest, T5ProjectedGradientsAddUpToTheProjectedSum) {
  each([](const Subject& s, const torch::Tensor&, const torch::Tensor&) {
    torch::Tensor of_parts = torch::zeros_like(s.weight), sum = torch::zeros_like(s.weight);
    for (uint64_t i = 0; i < 6; ++i) {
      const torch::Tensor gradient = test::normal64(s.weight.sizes(), 300 + i);
      of_parts += 1e-2 * project_on(s.basis, gradient);
      sum += 1e-2 * gradient;
    }
    EXPECT_TRUE(test::close(of_parts, project_on(s.basis, sum), 1e-12));
    // An update that lies in S is reproduced by the projected parts it is the sum of, any others it is not.
    const torch::Tensor inside = project_on(s.basis, s.weight), noise = test::normal64(s.weight.sizes(), 77);
    const torch::Tensor parts = project_on(s.basis, inside + noise) + project_on(s.basis, -noise);
    EXPECT_TRUE(test::close(parts, inside, 1e-11));
    if (s.basis.a.size(0) < s.weight.size(0)) {
      EXPECT_FALSE(test::close(of_parts, sum, 0.1));  // control: the sum itself is not in S
    }
  });
}

TEST_F(ProjectionTest, T6FullRankIsTheIdentityAndRankOneAScalar) {
  const torch::Tensor x = test::normal64({24, 24}, 1);
  EXPECT_TRUE(test::close(project_on(random_basis(24, 24, 24, 2), x), x, 1e-12));
  EXPECT_FALSE(test::close(project_on(random_basis(24, 24, 23, 2), x), x, 1e-2));  // control
  const SiteBasis one = random_basis(24, 24, 1, 3);
  const double scalar = one.b.t().matmul(x).matmul(one.a.t()).item<double>();
  EXPECT_TRUE(test::close(project_on(one, x), scalar * one.b.matmul(one.a), 1e-12));
}

TEST_F(ProjectionTest, T7RandomSubspacesCaptureRankSquaredOverSize) {
  constexpr int64_t kOut = 64, kIn = 48, kRank = 4, kDraws = 3000;
  const torch::Tensor gradient =
      test::normal64({kOut, 1}, 1).matmul(test::normal64({1, kIn}, 2)) + 0.1 * test::normal64({kOut, kIn}, 3);
  double sum = 0;
  for (uint64_t draw = 0; draw < kDraws; ++draw) {
    sum += captured_energy(random_basis(kOut, kIn, kRank, 1000 + 2 * draw), gradient);
  }
  const double expected = static_cast<double>(kRank * kRank) / (kOut * kIn);  // 0.00521
  // Single draws of a nearly rank-one gradient spread by about their mean: 3000 of them by 2 % of it.
  EXPECT_NEAR(sum / kDraws, expected, 0.06 * expected);
  EXPECT_GT(captured_energy(basis_of(gradient, kRank, false), gradient), 10 * expected);  // control
}

TEST_F(ProjectionTest, T8TheSvdOfTheGradientReachesTheBestDistance) {
  each([](const Subject& s, const torch::Tensor&, const torch::Tensor&) {
    const int64_t rank = std::min<int64_t>(8, s.weight.size(0) / 2);
    const SiteBasis best = basis_of(s.weight, rank, /*sigma=*/false);
    const torch::Tensor sigma = at::linalg_svdvals(s.weight);
    const double tail = length2(sigma.narrow(0, rank, sigma.size(0) - rank));
    EXPECT_NEAR(length2(s.weight - project_on(best, s.weight)), tail, 1e-9 * length2(s.weight));
    EXPECT_TRUE(test::close(nearest_r(best, s.weight), sigma.narrow(0, 0, rank).diag(), 1e-9));  // diagonal
  });
}

TEST_F(ProjectionTest, T9NoOtherPairComesNearer) {
  each([](const Subject& s, const torch::Tensor&, const torch::Tensor&) {
    const int64_t rank = std::min<int64_t>(8, s.weight.size(0) / 2);
    const SiteBasis best = basis_of(s.weight, rank, /*sigma=*/false);
    const double distance = length2(s.weight - project_on(best, s.weight));
    for (uint64_t seed = 0; seed < 5; ++seed) {
      const SiteBasis random = random_basis(s.weight.size(0), s.weight.size(1), rank, 50 + seed);
      const SiteBasis near{.a = std::get<0>(at::linalg_qr(best.a.t() + 1e-2 * random.a.t(), "reduced")).t(),
                           .b = std::get<0>(at::linalg_qr(best.b + 1e-2 * random.b, "reduced"))};
      EXPECT_GT(length2(s.weight - project_on(random, s.weight)), distance);
      EXPECT_GT(length2(s.weight - project_on(near, s.weight)), distance);
      EXPECT_LT(length2(s.weight - project_on(near, s.weight)), length2(s.weight - project_on(random, s.weight)));
    }
  });
}

TEST_F(ProjectionTest, T10NoPairCapturesMoreThanTheLargestSingularValues) {
  each([](const Subject& s, const torch::Tensor& x, const torch::Tensor&) {
    const int64_t rank = s.basis.a.size(0);
    const double bound = length2(at::linalg_svdvals(x).narrow(0, 0, rank)) / length2(x);
    EXPECT_LE(captured_energy(s.basis, x), bound + 1e-12);
    EXPECT_NEAR(captured_energy(basis_of(x, rank, false), x), bound, 1e-9);  // the bound is reached
    if (rank < x.size(0)) {
      EXPECT_LT(captured_energy(s.basis, x), 0.9 * bound);
    }
  });
}

TEST_F(ProjectionTest, T13TheClosedFormIsTheBestRForAnyFactors) {
  each([](const Subject& s, const torch::Tensor& x, const torch::Tensor&) {
    const int64_t rank = std::min<int64_t>(8, s.weight.size(0) / 2);
    const SiteBasis plain = basis_of(s.weight, rank, false), sigma = basis_of(s.weight, rank, true);
    const torch::Tensor values = at::linalg_svdvals(s.weight).narrow(0, 0, rank);
    // R* = U_rᵀ G V_r Σ_r⁻¹ with LibTorch's transposes, and the same projection with and without Σ.
    EXPECT_TRUE(test::close(nearest_r(sigma, x), plain.b.t().matmul(x).matmul(plain.a.t()) / values, 1e-8));
    EXPECT_TRUE(test::close(project_on(sigma, x), project_on(plain, x), 1e-9));
    const SiteBasis skewed{.a = test::normal64({rank, x.size(1)}, 9), .b = test::normal64({x.size(0), rank}, 10)};
    const torch::Tensor r = nearest_r(skewed, x);
    const auto distance = [&](const torch::Tensor& at_r) {
      return length2(x - skewed.b.matmul(at_r).matmul(skewed.a));
    };
    const torch::Tensor residual = x - skewed.b.matmul(r).matmul(skewed.a);
    EXPECT_LE(skewed.b.t().matmul(residual).matmul(skewed.a.t()).norm().item<double>(),
              1e-10 * skewed.b.norm().item<double>() * residual.norm().item<double>() * skewed.a.norm().item<double>());
    for (uint64_t seed = 0; seed < 3; ++seed) {
      EXPECT_GT(distance(r + 1e-3 * test::normal64({rank, rank}, seed)), distance(r));
    }
    // Of a low-rank update nothing large is formed.
    const LowRank lora{.left = test::normal64({x.size(0), 3}, 21), .right = test::normal64({3, x.size(1)}, 22)};
    EXPECT_TRUE(test::close(nearest_r(skewed, lora), nearest_r(skewed, lora.left.matmul(lora.right)), 1e-11));
    EXPECT_FALSE(test::close(skewed.b.t().matmul(x).matmul(skewed.a.t()), r, 0.1));  // control: no inverses
  });
}

TEST_F(ProjectionTest, T15SignsAreAGauge) {
  each([](const Subject& s, const torch::Tensor&, const torch::Tensor&) {
    const int64_t rank = std::min<int64_t>(8, s.weight.size(0) / 2);
    const SiteBasis basis = basis_of(s.weight, rank, true);
    const torch::Tensor signs = torch::where(test::normal64({rank}, 31) > 0, 1.0, -1.0)
                                    .to(torch::kFloat64)
                                    .index_fill_(0, torch::zeros({1}, torch::kInt64), -1.0);
    const SiteBasis flipped{.a = basis.a * signs.unsqueeze(1), .b = basis.b * signs};
    const torch::Tensor r = test::normal64({rank, rank}, 32), turned = r * signs * signs.unsqueeze(1);
    const torch::Tensor update = basis.b.matmul(r).matmul(basis.a);
    EXPECT_TRUE(test::close(flipped.b.matmul(turned).matmul(flipped.a), update, 1e-13));
    EXPECT_TRUE(turned.abs().equal(r.abs()));  // a symmetric distribution of R stays what it is
    if (rank > 1) {                            // control
      EXPECT_FALSE(test::close(flipped.b.matmul(r).matmul(flipped.a), update, 0.1));
    }
    // A rotation is one only where it commutes with Σ.
    const torch::Tensor q = orthonormal(rank, rank, 33), bent = q.t().matmul(r).matmul(q);
    const SiteBasis plain = basis_of(s.weight, rank, false);
    EXPECT_TRUE(test::close(plain.b.matmul(q).matmul(bent).matmul(q.t().matmul(plain.a)),
                            plain.b.matmul(r).matmul(plain.a), 1e-12));
  });
}

TEST(SubspaceTest, DistancesOfLowRankUpdatesEqualTheFormedOnes) {
  const LowRank x{.left = test::normal64({30, 4}, 1), .right = test::normal64({4, 50}, 2)};
  const LowRank y{.left = x.left + 1e-9 * test::normal64({30, 4}, 3), .right = x.right};
  const torch::Tensor formed = x.left.matmul(x.right);
  EXPECT_NEAR(norm_of(x), formed.norm().item<double>(), 1e-12 * norm_of(x));
  EXPECT_NEAR(relative_distance(x, y), (formed - y.left.matmul(y.right)).norm().item<double>() / norm_of(x), 1e-14);
  EXPECT_EQ(relative_distance({.left = 0 * x.left, .right = x.right}, {.left = 0 * x.left, .right = x.right}), 0);
}

TEST(SubspaceTest, PrincipalCosinesOfKnownSubspaces) {
  const torch::Tensor q = orthonormal(20, 6, 4);
  const double angle = 0.3;
  const torch::Tensor x = torch::stack({q.select(1, 0), q.select(1, 1)}, 1);
  const torch::Tensor y =
      torch::stack({q.select(1, 0), std::cos(angle) * q.select(1, 1) + std::sin(angle) * q.select(1, 2)}, 1);
  EXPECT_TRUE(test::close(principal_cosines(x.matmul(test::normal64({2, 2}, 5)), y),
                          torch::tensor({1.0, std::cos(angle)}, torch::kFloat64), 1e-12));
  EXPECT_LT(principal_cosines(x, q.narrow(1, 3, 3)).max().item<double>(), 1e-12);
}

}  // namespace
}  // namespace loraxs
