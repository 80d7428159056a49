// adapt/basis.h: the frozen directions of LoRA-XS (Bałazy et al., arXiv 2405.17604), one pair per adapted projection.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapt/basis_recipe.h"
#include "io/log.h"
#include "model/site.h"

namespace loraxs {

/// Basis of one projection: the adapted weight is W + scale · b · R · a.
/// The singular values sit on the input side, as in the paper (row vectors: x U_r Σ_r R V_rᵀ).
struct SiteBasis {
  torch::Tensor a;  // [rank, in_features] float32, Σ_r U_rᵀ in the paper's letters
  torch::Tensor b;  // [out_features, rank] float32, V_r, columns orthonormal
};

/// The basis of a base model: shared by every adapter on it, never inside an adapter.
struct Basis {
  BasisRecipe recipe;
  std::string base_id;                      // of the model whose weights it belongs to
  std::string basis_id;                     // SHA-256 of the file's bytes
  std::map<std::string, SiteBasis> sites;   // by canonical site name
  std::map<std::string, double> residuals;  // largest residual over both sides and all triples, per site (0: random)
  std::filesystem::path path;               // the file it is mapped from; empty before it is written

  /// Throws Error naming the site and those present.
  const SiteBasis& at(const std::string& site) const;
};

/// Basis of one projection `weight` [out_features, in_features]. `name` seeds the random variants, so that a site's
/// basis does not depend on which other sites are asked for. Throws Error when rank is not in 1..min(out, in) (or, for
/// middle, does not fit). float64 inside, float32 out.
SiteBasis compute_site_basis(const torch::Tensor& weight, const std::string& name, const BasisRecipe& recipe,
                             double* residual = nullptr);

/// b a of the leading `rank` triples -> [out_features, in_features]: what a residual base loses.
torch::Tensor residual_loss(const SiteBasis& pair, int64_t rank, torch::ScalarType dtype);

/// VeRA's pair for sites of any widths: views of one a [rank, widest in] and one b [widest out, rank], drawn as PEFT
/// 0.21 draws them from the recipe's seed. Nothing is written: the id is the digest of the pair.
Basis draw_vera_basis(const std::vector<Site>& sites, const std::string& base_id, const BasisRecipe& recipe);

/// All sites; `weight_of` gives [out_features, in_features]. Sites run side by side, one thread each, so `weight_of` is
/// called by several at a time; `progress` hears of each as it is done, one call at a time, in any order.
Basis compute_basis(const std::vector<Site>& sites, const std::function<torch::Tensor(const Site&)>& weight_of,
                    const std::string& base_id, const BasisRecipe& recipe, const LogSink& progress);

/// Bytes of the file: safetensors with "SITE.a", "SITE.b" and metadata (format, base_id, recipe fields, solver,
/// residuals).
void write_basis(const std::filesystem::path& path, Basis& basis);  // sets basis_id and path
/// The basis_id that write_basis would give.
std::string basis_digest(const Basis& basis);
/// Maps a file and checks it whole: every pair's shapes, finite values, metadata. Throws Error.
Basis read_basis(const std::filesystem::path& path);

/// The basis of `base_id` for these sites and this recipe: from `cache_folder` if a file there has the same base,
/// recipe and (at least) these sites, else computed and written there as basis-<first 16 of id>.safetensors. An
/// unusable cache file is reported to `log` and replaced, never used; where none can be written `log` hears that too,
/// and the basis has no path.
Basis cached_basis(const std::filesystem::path& cache_folder, const std::vector<Site>& sites,
                   const std::function<torch::Tensor(const Site&)>& weight_of, const std::string& base_id,
                   const BasisRecipe& recipe, const LogSink& log);

/// The fingerprint of (sites, ranks) on a basis: ≤ 64 numbers, deterministic. Probe i of the sum over sites of
/// w_i(site) · pᵀ b K â q with fixed probes p, q and a fixed dense non-symmetric K [rank, rank], at the adapter's rank
/// of each site, â the rows of a at a common size (1 + σ_k / σ₁), so that small directions count too; all drawn from
/// seeds derived from the site's name, in float64. Flipped signs, swapped vectors, a missing Σ or a foreign site change
/// it. `ranks` maps site name to rank.
std::vector<double> basis_fingerprint(const Basis& basis, const std::map<std::string, int64_t>& ranks);

/// The same, remembered by basis_id: a process that writes many adapters on one basis draws its probes once.
std::vector<double> kept_fingerprint(const Basis& basis, const std::map<std::string, int64_t>& ranks);

/// max |x − y| / max |y| ≤ 1e-4.
bool fingerprints_match(const std::vector<double>& found, const std::vector<double>& expected);

}  // namespace loraxs
