#include "adapt/basis.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>

#include "adapt/svd.h"
#include "io/error.h"
#include "io/seeds.h"
#include "io/sha256.h"

namespace loraxs {
namespace {

torch::Tensor uniform(at::IntArrayRef shape, uint64_t seed, double bound) {
  torch::Tensor values = torch::empty(shape, torch::TensorOptions().dtype(torch::kFloat32));
  fill_uniform(std::span(values.mutable_data_ptr<float>(), values.numel()), seed, -bound, bound);
  return values;
}

/// The r triples that `vectors` names, of all or of the leading ones.
SingularTriples chosen_triples(const torch::Tensor& weight, const BasisRecipe& recipe) {
  if (recipe.vectors == "top") return leading_triples(weight, recipe.rank, recipe.seed);
  SingularTriples all = all_triples(weight);
  const int64_t count = all.s.size(0);
  if (recipe.vectors == "middle") {
    const int64_t first = (count - recipe.rank) / 2;
    all.u = all.u.narrow(1, first, recipe.rank);
    all.s = all.s.narrow(0, first, recipe.rank);
    all.v = all.v.narrow(1, first, recipe.rank);
  } else {  // bottom: the smallest first, so that a smaller rank is a prefix
    const torch::Tensor order = torch::arange(count - 1, count - 1 - recipe.rank, -1);
    all.u = all.u.index_select(1, order);
    all.s = all.s.index_select(0, order);
    all.v = all.v.index_select(1, order);
  }
  return all;
}

}  // namespace

const SiteBasis& Basis::at(const std::string& site) const {
  const auto found = sites.find(site);
  if (found != sites.end()) return found->second;
  std::string known;
  for (const auto& [name, pair] : sites) known += (known.empty() ? "" : ", ") + name;
  throw Error(concat(path.string(), ": expected a basis of ", site, ", found only ", known));
}

SiteBasis compute_site_basis(const torch::Tensor& weight, const std::string& name, const BasisRecipe& recipe,
                             double* residual) {
  torch::NoGradGuard no_grad;
  const int64_t out_features = weight.size(0), in_features = weight.size(1);
  const int64_t width = std::min(out_features, in_features);
  if (recipe.rank < 1 || recipe.rank > width) {
    throw Error(concat(name, ": rank: expected 1 to ", width, ", found ", recipe.rank));
  }
  const uint64_t site_seed = derive_seed(recipe.seed, "basis " + name);
  if (recipe.variant == "random") {
    // Kaiming-uniform with a = √5 on the row-vector factors: fan-in is their second dimension (paper.md §1.8).
    return {.a = uniform({recipe.rank, in_features}, derive_seed(site_seed, "a"),
                         1 / std::sqrt(static_cast<double>(recipe.rank))),
            .b = uniform({out_features, recipe.rank}, derive_seed(site_seed, "b"),
                         1 / std::sqrt(static_cast<double>(out_features)))};
  }
  const torch::Tensor source = recipe.variant == "weight"
                                   ? weight
                                   : uniform({out_features, in_features}, derive_seed(site_seed, "matrix"),
                                             1 / std::sqrt(static_cast<double>(out_features)));
  check_finite(source, name + ".weight");
  const SingularTriples triples = chosen_triples(source, recipe);
  if (residual != nullptr) *residual = std::max(triples.left_residual, triples.right_residual);
  torch::Tensor a = triples.v.t();  // [rank, in_features]
  if (recipe.sigma) a = a * triples.s.unsqueeze(1);
  a = a.to(torch::kFloat32).contiguous();
  if (!a.isfinite().all().item<bool>()) {
    throw Error(concat(name, ": expected singular values in float32's range, found one of ",
                       triples.s.max().item<double>(), "; weights of the base model are damaged"));
  }
  return {.a = a, .b = triples.u.to(torch::kFloat32).contiguous()};
}

torch::Tensor residual_loss(const SiteBasis& pair, int64_t rank, torch::ScalarType dtype) {
  torch::NoGradGuard no_grad;
  return pair.b.narrow(1, 0, rank).to(dtype).matmul(pair.a.narrow(0, 0, rank).to(dtype));
}

Basis draw_vera_basis(const std::vector<Site>& sites, const std::string& base_id, const BasisRecipe& recipe) {
  torch::NoGradGuard no_grad;
  int64_t in_features = 0, out_features = 0;
  for (const Site& site : sites) {
    in_features = std::max(in_features, site.in_features);
    out_features = std::max(out_features, site.out_features);
  }
  // Kaiming-uniform with gain √2: ± √(6 / fan_in), a before b from one generator.
  const at::Generator generator = at::detail::createCPUGenerator(recipe.seed);
  const auto draw = [&](int64_t rows, int64_t columns) {
    const double bound = std::sqrt(3.0) * (std::sqrt(2.0) / std::sqrt(static_cast<double>(columns)));
    return torch::empty({rows, columns}, torch::TensorOptions().dtype(torch::kFloat32))
        .uniform_(-bound, bound, generator);
  };
  const torch::Tensor a = draw(recipe.rank, in_features), b = draw(out_features, recipe.rank);
  Basis basis{.recipe = recipe, .base_id = base_id};
  Sha256 digest;
  for (const torch::Tensor* each : {&a, &b}) {
    digest.update(std::as_bytes(std::span(each->const_data_ptr<float>(), each->numel())));
  }
  basis.basis_id = digest.hex();
  for (const Site& site : sites) {
    basis.sites[site.name] = {.a = a.narrow(1, 0, site.in_features), .b = b.narrow(0, 0, site.out_features)};
    basis.residuals[site.name] = 0;
  }
  return basis;
}

Basis compute_basis(const std::vector<Site>& sites, const std::function<torch::Tensor(const Site&)>& weight_of,
                    const std::string& base_id, const BasisRecipe& recipe, const LogSink& progress) {
  if (recipe.travels()) {
    throw Error(
        concat("basis: expected the file that came with the adapter (--basis FILE), found none; a basis "
               "of variant ",
               recipe.variant, " cannot be computed from the weights"));
  }
  std::vector<SiteBasis> pairs(sites.size());
  std::vector<double> residuals(sites.size());
  std::mutex reporting;
  size_t done = 0;
  constexpr auto kBetweenLines = std::chrono::seconds(4);
  const auto start = std::chrono::steady_clock::now();
  auto said = start;
  if (progress) progress(LogLevel::kInfo, concat("basis: of ", sites.size(), " projections, rank ", recipe.rank));
  // Sites side by side, one thread each: small decompositions do not fill two, and the bits do not depend on how many.
  at::parallel_for(0, static_cast<int64_t>(sites.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      pairs[i] = compute_site_basis(weight_of(sites[i]), sites[i].name, recipe, &residuals[i]);
      const std::lock_guard lock(reporting);
      ++done;
      const auto now = std::chrono::steady_clock::now();
      if (!progress || now - said < kBetweenLines) continue;
      said = now;
      const double seconds = std::chrono::duration<double>(now - start).count();
      const double left = seconds / static_cast<double>(done) * static_cast<double>(sites.size() - done);
      progress(LogLevel::kInfo, concat("basis=", done, "/", sites.size(), " seconds_left=", std::lround(left)));
    }
  });
  Basis basis{.recipe = recipe, .base_id = base_id};
  for (size_t i = 0; i < sites.size(); ++i) {
    basis.sites[sites[i].name] = std::move(pairs[i]);
    basis.residuals[sites[i].name] = residuals[i];
  }
  return basis;
}

}  // namespace loraxs
