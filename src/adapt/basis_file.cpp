#include <cmath>
#include <nlohmann/json.hpp>

#include "adapt/basis.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/safetensors.h"
#include "io/sha256.h"
#include "model/base_model.h"

namespace loraxs {
namespace {

constexpr const char* kBasisFormat = "loraxs-basis-1";
constexpr const char* kSolver = "block-krylov-float64-2";  // changes when the numbers may change

TensorBytes bytes_of(const torch::Tensor& tensor) {
  TORCH_CHECK(tensor.is_contiguous() && tensor.scalar_type() == torch::kFloat32,
              "basis tensors are contiguous float32");
  return {.dtype = Dtype::kFloat32,
          .shape = tensor.sizes().vec(),
          .bytes = std::as_bytes(std::span(tensor.const_data_ptr<float>(), tensor.numel()))};
}

/// What must agree for a cached file to be taken.
std::string cache_key(const std::string& base_id, const std::vector<Site>& sites, const BasisRecipe& recipe) {
  std::string key = concat(base_id, '\n', recipe.rank, ' ', recipe.variant, ' ', recipe.vectors, ' ', recipe.sigma, ' ',
                           recipe.seed, ' ', kSolver, '\n');
  for (const Site& site : sites) key += site.name + '\n';
  return sha256_hex(key);
}

std::vector<std::byte> serialize(const Basis& basis) {
  std::map<std::string, TensorBytes> tensors;
  for (const auto& [name, pair] : basis.sites) {
    tensors[name + ".a"] = bytes_of(pair.a);
    tensors[name + ".b"] = bytes_of(pair.b);
  }
  const std::map<std::string, std::string> metadata = {{"format", kBasisFormat},
                                                       {"base_id", basis.base_id},
                                                       {"rank", std::to_string(basis.recipe.rank)},
                                                       {"variant", basis.recipe.variant},
                                                       {"vectors", basis.recipe.vectors},
                                                       {"sigma", basis.recipe.sigma ? "true" : "false"},
                                                       {"seed", std::to_string(basis.recipe.seed)},
                                                       {"solver", kSolver},
                                                       {"residuals", nlohmann::json(basis.residuals).dump()}};
  return serialize_safetensors(tensors, metadata);
}

void write_bytes(const std::filesystem::path& path, Basis& basis, Existing existing) {
  const std::vector<std::byte> bytes = serialize(basis);
  write_file_atomically(path, bytes, existing);
  basis.basis_id = sha256_hex(bytes);
  basis.path = path;
}

}  // namespace

void write_basis(const std::filesystem::path& path, Basis& basis) { write_bytes(path, basis, Existing::kRefused); }

std::string basis_digest(const Basis& basis) { return sha256_hex(serialize(basis)); }

Basis read_basis(const std::filesystem::path& path) {
  const Safetensors file = read_safetensors(path);
  const std::string where = path.string();
  const std::string& format = file.metadata_at("format");
  if (format != kBasisFormat) throw Error(concat(where, ": format: expected ", kBasisFormat, ", found ", format));
  Basis basis;
  basis.path = path;
  basis.base_id = file.metadata_at("base_id");
  basis.recipe.rank = file.metadata_count("rank", 0);
  basis.recipe.variant = file.metadata_at("variant");
  basis.recipe.vectors = file.metadata_at("vectors");
  basis.recipe.sigma = file.metadata_at("sigma") == "true";
  basis.recipe.seed = static_cast<uint64_t>(file.metadata_count("seed", 0));
  const auto residuals = json_or_null(file.metadata_at("residuals"));
  if (residuals.is_object()) {
    for (const auto& [site, value] : residuals.items())
      basis.residuals[site] = value.is_number() ? value.get<double>() : NAN;
  }
  for (const auto& [name, view] : file.tensors) {
    if (!name.ends_with(".a")) continue;
    const std::string site = name.substr(0, name.size() - 2);
    const TensorView& other = file.at(site + ".b");
    for (const TensorView* each : {&view, &other}) {
      if (each->dtype != Dtype::kFloat32 || each->shape.size() != 2) {
        throw Error(concat(where, ": ", site, ": expected float32 matrices, found ", each->dtype_text, " with ",
                           each->shape.size(), " dimensions"));
      }
    }
    if (view.shape[0] != basis.recipe.rank || other.shape[1] != basis.recipe.rank) {
      throw Error(concat(where, ": ", site, ": expected rank ", basis.recipe.rank, ", found a [", view.shape[0], ", ",
                         view.shape[1], "] and b [", other.shape[0], ", ", other.shape[1], "]"));
    }
    const SiteBasis pair{.a = view_tensor(view), .b = view_tensor(other)};
    if (!pair.a.isfinite().all().item<bool>() || !pair.b.isfinite().all().item<bool>()) {
      throw Error(concat(where, ": ", site, ": expected finite numbers, found others; the file is damaged"));
    }
    basis.sites.emplace(site, pair);
  }
  if (basis.sites.empty() || basis.sites.size() * 2 != file.tensors.size()) {
    throw Error(concat(where, ": expected pairs SITE.a and SITE.b, found ", file.tensors.size(), " tensors"));
  }
  basis.basis_id = sha256_of_file(path);
  return basis;
}

Basis cached_basis(const std::filesystem::path& cache_folder, const std::vector<Site>& sites,
                   const std::function<torch::Tensor(const Site&)>& weight_of, const std::string& base_id,
                   const BasisRecipe& recipe, const LogSink& log) {
  const std::filesystem::path path =
      cache_folder / ("basis-" + cache_key(base_id, sites, recipe).substr(0, 16) + ".safetensors");
  if (std::filesystem::exists(path)) {
    try {
      Basis basis = read_basis(path);
      if (basis.base_id == base_id && basis.recipe == recipe && basis.sites.size() == sites.size()) return basis;
    } catch (const Error& error) {
      if (log) log(LogLevel::kWarning, concat("basis cache unusable, computing anew: ", error.what()));
    }
  }
  Basis basis = compute_basis(sites, weight_of, base_id, recipe, log);
  const auto go_on_without = [&](const std::string& reason) {  // costs the next command time, not this one its result
    if (log) log(LogLevel::kWarning, concat("the basis is computed anew next time: ", reason));
    basis.basis_id = basis_digest(basis);
  };
  try {
    std::filesystem::create_directories(cache_folder);
    write_bytes(path, basis, Existing::kReplaced);
  } catch (const Error& error) {
    go_on_without(error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    go_on_without(concat(cache_folder.string(), ": cannot create: ", error.code().message()));
  }
  return basis;
}

}  // namespace loraxs
