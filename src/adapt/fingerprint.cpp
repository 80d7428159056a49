#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "adapt/basis.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

constexpr int64_t kProbes = 32;      // numbers in a fingerprint
constexpr double kTolerance = 1e-4;  // float32 rounding of a and b stays below 1e-6

torch::Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  torch::Tensor values = torch::empty(shape, torch::TensorOptions().dtype(torch::kFloat64));
  fill_normal(std::span(values.mutable_data_ptr<double>(), values.numel()), seed, 1.0);
  return values;
}

}  // namespace

std::vector<double> basis_fingerprint(const Basis& basis, const std::map<std::string, int64_t>& ranks) {
  torch::NoGradGuard no_grad;
  torch::Tensor sum = torch::zeros({kProbes}, torch::TensorOptions().dtype(torch::kFloat64));
  for (const auto& [site, rank] : ranks) {
    const SiteBasis& pair = basis.at(site);
    const torch::Tensor a = pair.a.narrow(0, 0, rank).to(torch::kFloat64),
                        b = pair.b.narrow(1, 0, rank).to(torch::kFloat64);
    const uint64_t seed = derive_seed(0, "fingerprint " + site);
    const torch::Tensor p = normal({kProbes, b.size(0)}, derive_seed(seed, "p")),
                        q = normal({a.size(1), kProbes}, derive_seed(seed, "q"));
    const torch::Tensor k = normal({rank, rank}, derive_seed(seed, "k")),
                        weights = normal({kProbes}, derive_seed(seed, "w"));
    // Rows of a brought to a common size, so that a change in any vector weighs the same, however small its σ.
    const torch::Tensor sizes = a.norm(2, 1, /*keepdim=*/true).clamp_min(1e-300);
    const double largest = sizes.max().item<double>();
    const torch::Tensor balanced = a / sizes * (1 + sizes / largest);
    sum += weights * (p.matmul(b) * k.matmul(balanced.matmul(q)).t()).sum(1);
  }
  const torch::Tensor flat = sum.contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

std::vector<double> kept_fingerprint(const Basis& basis, const std::map<std::string, int64_t>& ranks) {
  using Key = std::pair<std::string, std::map<std::string, int64_t>>;
  constexpr size_t kMost = 64;
  static std::mutex mutex;
  static std::map<Key, std::vector<double>> kept;
  if (basis.basis_id.empty()) return basis_fingerprint(basis, ranks);
  const std::lock_guard lock(mutex);
  const Key key{basis.basis_id, ranks};
  if (const auto found = kept.find(key); found != kept.end()) return found->second;
  if (kept.size() >= kMost) kept.clear();
  return kept[key] = basis_fingerprint(basis, ranks);
}

bool fingerprints_match(const std::vector<double>& found, const std::vector<double>& expected) {
  if (found.size() != expected.size()) return false;
  double difference = 0, largest = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    difference = std::max(difference, std::abs(found[i] - expected[i]));
    largest = std::max(largest, std::abs(expected[i]));
  }
  return difference <= kTolerance * largest;
}

}  // namespace loraxs
