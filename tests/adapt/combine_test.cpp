// Adapters on one basis as a vector space: what combining, merging and measuring distances agree on.
#include "adapt/combine.h"

#include <gtest/gtest.h>

#include <fstream>

#include "adapt/distance.h"
#include "adapt/energy.h"
#include "adapt/head_tensors.h"
#include "adapt/merge.h"
#include "api/adapters.h"
#include "api/sweep.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/oracle.h"
#include "support/random_tensor.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using test::OracleCase;

/// ΔW of one site, formed.
torch::Tensor delta(const Bank& bank, const Basis& basis, const Site& site) {
  const LayoutSegment* segment = bank.layout->find(site.name + ".r");
  if (segment == nullptr) return torch::zeros({site.out_features, site.in_features}, torch::kFloat64);
  const torch::Tensor r = segment_value(bank, 0, *segment).to(torch::kFloat64);
  const SiteBasis& pair = basis.at(site.name);
  return pair.b.narrow(1, 0, r.size(0))
             .to(torch::kFloat64)
             .matmul(r)
             .matmul(pair.a.narrow(0, 0, r.size(0)).to(torch::kFloat64)) *
         (bank.alpha(0) / static_cast<double>(r.size(0)));
}

/// Three adapters on the basis of the tiny encoder, of other ranks, sites and alphas.
struct Fixture : OracleCase {
  std::vector<std::shared_ptr<Bank>> banks;

  explicit Fixture(torch::ScalarType dtype = torch::kFloat64) : OracleCase("tiny_paper") {
    basis->base_id = model.base_id;
    const std::vector<Site> some = {layout.sites[0], layout.sites[5], layout.sites[7]};
    const auto add = [&](const std::vector<Site>& sites, int64_t rank, double scale) {
      auto bank =
          std::make_shared<Bank>(make_bank(make_layout("lora_xs", sites, rank, {}, 32, "test"), scale, 1, dtype));
      bank->values.copy_(0.3 * test::normal(bank->values.sizes(), 40 + banks.size(), dtype));
      banks.push_back(std::move(bank));
    };
    add(layout.sites, 4, 16);
    add(some, 2, 6);
    add(layout.sites, 3, 1);
  }
};

TEST(CombineTest, TaskArithmeticIsLinearInTheUpdates) {
  const Fixture f;
  // Away from one adapter and towards two others: weights of any sign, relative to the base.
  const Bank sum = combine({{.bank = f.banks[0].get(), .weight = -0.7},
                            {.bank = f.banks[1].get(), .weight = 1.3},
                            {.bank = f.banks[2].get(), .weight = 0.2}},
                           {});
  for (const Site& site : f.layout.sites) {
    const torch::Tensor expected = -0.7 * delta(*f.banks[0], *f.basis, site) +
                                   1.3 * delta(*f.banks[1], *f.basis, site) + 0.2 * delta(*f.banks[2], *f.basis, site);
    EXPECT_TRUE(test::close(delta(sum, *f.basis, site), expected, 1e-13)) << site.name;
    EXPECT_FALSE(test::close(delta(*f.banks[0], *f.basis, site), expected, 0.1)) << site.name;  // control
  }
  const Bank none = combine({{.bank = f.banks[0].get(), .weight = 1}, {.bank = f.banks[0].get(), .weight = -1}}, {});
  EXPECT_EQ(none.values.abs().max().item<double>(), 0);
}

/// Two LoRAs of other ranks, alphas and sites on the tiny encoder.
std::vector<std::shared_ptr<Bank>> lora_banks(const Fixture& f, const MethodOptions& options) {
  const std::vector<Site> some = {f.layout.sites[0], f.layout.sites[5]};
  std::vector<std::shared_ptr<Bank>> banks;
  for (const auto& [sites, rank, alpha] : {std::tuple{f.layout.sites, int64_t{3}, 16.0}, {some, int64_t{2}, 5.0}}) {
    auto bank = std::make_shared<Bank>(
        make_bank(make_layout("lora", sites, rank, {}, 32, "test", options), alpha, 1, torch::kFloat64));
    bank->values.copy_(0.3 * test::normal(bank->values.sizes(), 60 + banks.size(), torch::kFloat64));
    banks.push_back(std::move(bank));
  }
  return banks;
}

TEST(CombineTest, LoraSumsAreConcatenatedExactly) {
  const Fixture f;
  for (const bool rslora : {false, true}) {
    const auto banks = lora_banks(f, {.rslora = rslora});
    const Bank sum = combine({{.bank = banks[0].get(), .weight = 0.7}, {.bank = banks[1].get(), .weight = -0.4}}, {});
    const auto update = [&](const Bank& bank, const Site& site) {
      const LayoutSegment* a = bank.layout->find(site.name + ".a");
      if (a == nullptr) return torch::zeros({site.out_features, site.in_features}, torch::kFloat64);
      const torch::Tensor product =
          segment_value(bank, 0, *bank.layout->find(site.name + ".b")).matmul(segment_value(bank, 0, *a));
      const auto rank = static_cast<double>(bank.layout->rank_of(site.name));
      return product * (bank.alpha(0) / (rslora ? std::sqrt(rank) : rank));
    };
    for (const Site& site : f.layout.sites) {
      const torch::Tensor expected = 0.7 * update(*banks[0], site) - 0.4 * update(*banks[1], site);
      EXPECT_TRUE(test::close(update(sum, site), expected, 1e-13)) << site.name;
      EXPECT_FALSE(test::close(update(*banks[0], site), expected, 0.1)) << site.name;  // control
    }
    EXPECT_EQ(sum.layout->rank_of(f.layout.sites[0].name), 5);
    EXPECT_EQ(sum.layout->rank_of(f.layout.sites[1].name), 3);
  }
  const auto banks = lora_banks(f, {});
  EXPECT_ERROR(combine({{.bank = banks[0].get()}, {.bank = f.banks[0].get()}}, {}),
               "expected adapters of one method, found lora and lora_xs");
}

TEST(CombineTest, MergingASumIsMergingOneAfterTheOther) {
  for (const auto& [dtype, tolerance] : {std::pair{torch::kFloat64, 1e-13}, {torch::kFloat32, 1e-6}}) {
    const Fixture f(dtype);
    BaseModel base = f.model;
    for (const Site& site : f.layout.sites) base.replace(site.name + ".weight", base.site_weight(site).to(dtype));
    const Bank sum = combine({{.bank = f.banks[0].get(), .weight = 1}, {.bank = f.banks[1].get(), .weight = 1}}, {});
    const BaseModel at_once = merge_model(base, *f.basis, sum, 0);
    const BaseModel one = merge_model(base, *f.basis, *f.banks[0], 0),
                    both = merge_model(one, *f.basis, *f.banks[1], 0);
    for (const Site& site : f.layout.sites) {
      EXPECT_TRUE(test::close(at_once.site_weight(site), both.site_weight(site), tolerance)) << site.name;
      EXPECT_FALSE(test::close(at_once.site_weight(site), base.site_weight(site), 1e-2)) << site.name;  // control
    }
  }
}

TEST(DistanceTest, CoordinatesHaveTheGeometryOfTheUpdates) {
  Fixture f;
  // Σ, and factors that are no singular vectors: their triangles are full.
  SiteBasis& bent = f.basis->sites.at(f.layout.sites[5].name);
  bent = {.a = test::normal(bent.a.sizes(), 7), .b = test::normal(bent.b.sizes(), 8)};
  const torch::Tensor at = delta_coordinates(f.banks, *f.basis);
  for (size_t i = 0; i < f.banks.size(); ++i) {
    for (size_t j = 0; j < f.banks.size(); ++j) {
      double squares = 0, products = 0;
      for (const Site& site : f.layout.sites) {
        const torch::Tensor x = delta(*f.banks[i], *f.basis, site), y = delta(*f.banks[j], *f.basis, site);
        squares += (x - y).square().sum().item<double>();
        products += (x * y).sum().item<double>();
      }
      const auto row = static_cast<int64_t>(i), other = static_cast<int64_t>(j);
      EXPECT_NEAR((at[row] - at[other]).norm().item<double>(), std::sqrt(squares), 1e-12 * std::sqrt(squares + 1));
      EXPECT_NEAR(at[row].dot(at[other]).item<double>(), products,
                  1e-12 * at[row].norm().item<double>() * at[other].norm().item<double>());
    }
  }
  // Control: distances of plain rows are others.
  EXPECT_GT(
      std::abs((f.banks[0]->values - f.banks[0]->values * 2).norm().item<double>() / at[0].norm().item<double>() - 1),
      0.1);
}

/// Adapter files of the fixture's banks, a and c with a head.
struct Files : Fixture {
  test::TemporaryFolder folder;
  Settings settings{.cache = folder / "cache"};
  std::filesystem::path in = folder / "in";
  std::filesystem::path basis_file = folder / "x.basis.safetensors";

  Files() : Fixture(torch::kFloat32) {
    std::filesystem::create_directory(in);
    write_basis(basis_file, *basis);
    for (size_t i = 0; i < banks.size(); ++i) {
      write_adapter(in / (std::string(1, static_cast<char>('a' + i)) + ".safetensors"), *banks[i], 0, model, *basis,
                    {});
    }
  }
  Bank combined(const std::string& expression) const {
    return combine_adapters(model, expression, "auto", {.basis_file = basis_file}, settings).bank;
  }
};

TEST(MeanTest, OfAFolderIsTheSumWithEqualOrGivenWeights) {
  const Files f;
  const std::string in = f.in.string(), a = in + "/a.safetensors", b = in + "/b.safetensors", c = in + "/c.safetensors";
  const auto same = [&](const Bank& x, const Bank& y, double tolerance) {
    const torch::Tensor at = delta_coordinates({std::make_shared<Bank>(x), std::make_shared<Bank>(y)}, *f.basis);
    return test::close(at[0], at[1], tolerance);
  };
  const Bank third =
      f.combined("0.333333333333333333*" + a + " + 0.333333333333333333*" + b + " + 0.333333333333333333*" + c);
  EXPECT_TRUE(same(f.combined("mean(" + in + ")"), third, 1e-6));
  std::ofstream(f.folder / "w.csv") << "a,100\nb,300\nc,0\n";
  const std::string weights = (f.folder / "w.csv").string();
  EXPECT_TRUE(same(f.combined("2*mean(" + in + ", " + weights + ") - " + c),
                   f.combined("0.5*" + a + " + 1.5*" + b + " - " + c), 1e-6));
  EXPECT_FALSE(same(f.combined("mean(" + in + ", " + weights + ")"), third, 0.1));  // control
  std::ofstream(f.folder / "w.csv") << "a,100\nb,300\n";
  EXPECT_ERROR(f.combined("mean(" + in + ", " + weights + ")"), "expected a weight of c, found none");
  std::ofstream(f.folder / "w.csv") << "a,100\nb,-3\nc,1\n";
  EXPECT_ERROR(f.combined("mean(" + in + ", " + weights + ")"), "w.csv:2: expected NAME,WEIGHT with a weight ≥ 0");
  EXPECT_ERROR(f.combined("mean(" + in), "expected the closing bracket of mean(FOLDER)");
  EXPECT_ERROR(f.combined("mean(/nowhere)"), "expected a folder of adapters");
}

TEST(NearestTest, ListsByDistanceWithoutTheAdapterItself) {
  const Files f;
  Bank near = *f.banks[0];
  near.values = near.values * 1.01;
  write_adapter(f.in / "near.safetensors", near, 0, f.model, *f.basis, {});
  const auto neighbours =
      nearest_adapters(f.model, f.in / "a.safetensors", f.in, {.basis_file = f.basis_file}, f.settings);
  ASSERT_EQ(neighbours.size(), 3U);
  EXPECT_EQ(neighbours[0].path.filename(), "near.safetensors");
  EXPECT_NEAR(neighbours[0].cosine, 1, 1e-6);
  EXPECT_LT(neighbours[0].distance, neighbours[1].distance);
  EXPECT_LT(std::abs(neighbours[1].cosine), 0.9);
  // Another base is refused.
  BaseModel other = f.model;
  other.base_id = std::string(64, '0');
  EXPECT_ERROR(nearest_adapters(other, f.in / "a.safetensors", f.in, {}, f.settings), "trained on another base model");
}

TEST(EnergyTest, KnownGradientsHaveTheirShares) {
  const torch::Tensor weight = test::normal({40, 60}, 1, torch::kFloat64);
  // The weight as its own gradient: all angles are 0, and its share is that of its largest singular values.
  const CapturedEnergy own = captured_energies(weight, 3 * weight, 5, 0);
  EXPECT_NEAR(own.weight, own.gradient, 1e-9);
  EXPECT_NEAR(own.left_overlap, 1, 1e-9);
  EXPECT_NEAR(own.right_overlap, 1, 1e-9);
  EXPECT_DOUBLE_EQ(own.expected_random, 25.0 / 2400);
  // An unrelated one: about r²/(mn), and overlaps about r / width; never more than the bound.
  const CapturedEnergy noise = captured_energies(weight, test::normal({40, 60}, 2, torch::kFloat64), 5, 0);
  EXPECT_LT(noise.weight, 5 * noise.expected_random);
  EXPECT_LT(noise.weight, noise.gradient);
  EXPECT_LT(noise.left_overlap, 0.5);
  EXPECT_GT(noise.left_angle, 10);
}

}  // namespace
}  // namespace loraxs
