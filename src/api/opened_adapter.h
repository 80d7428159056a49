// api/opened_adapter.h: adapters opened on their base model and basis, checked and ready to compute with.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "adapt/adapted_model.h"
#include "adapt/adapter_file.h"
#include "api/settings.h"

namespace loraxs {

/// A Hugging Face folder. Its id is kept in the cache folder, so that the weights are hashed once.
BaseModel open_model(const std::filesystem::path& folder, const Settings& settings);

/// A basis without sites, where the method reads none. The basis for an adapter's sites: the file at `basis_file`, else
/// computed (or taken from the cache) by the recipe.
std::shared_ptr<const Basis> basis_for(const BaseModel& model, const std::vector<Site>& sites,
                                       const BasisRecipe& recipe, const std::filesystem::path& basis_file,
                                       const Settings& settings);

/// Where an adapter's own basis lies (BasisRecipe::travels): beside it, as the first 16 digits of its id with
/// .basis.safetensors.
std::filesystem::path travelling_basis(const std::filesystem::path& adapter, const std::string& basis_id);
/// Writes the basis there, unless an equal one is there: adapters side by side share it. Sets its id and path; returns
/// whether it was written. Throws Error when another file has that name.
bool keep_basis(const std::filesystem::path& adapter, Basis& basis);
/// The travelling basis that a folder holds; empty: none. Throws Error where there are several.
std::filesystem::path kept_basis(const std::filesystem::path& folder);
/// The basis file to open `adapter` with: `basis_file` if one is named, its travelling basis beside it or beside its
/// folder if there is one, or out of its store into the folder `cache`; else none.
std::filesystem::path basis_file_of(const AdapterFile& adapter, const std::filesystem::path& basis_file,
                                    const std::filesystem::path& cache);
/// Throws Error where a basis file is named and none of the adapters is read with one.
void check_basis_file(const std::filesystem::path& basis_file, const std::vector<const AdapterFile*>& adapters);

struct OpenOptions {
  std::filesystem::path basis_file;             // empty = computed and checked by fingerprint
  bool accept_base = false;                     // another base_id, if the fingerprint matches
  WeightMemory memory = WeightMemory::kNormal;  // how the base's weights are kept
  torch::Device device = torch::kCPU;           // that computes
};

/// One adapter on its model and basis.
struct OpenedAdapter {
  BaseModel model;
  AdapterFile file;
  std::shared_ptr<const Basis> basis;
  std::shared_ptr<Bank> bank;  // of one
  WeightMemory memory = WeightMemory::kNormal;
  torch::Device device = torch::kCPU;
};
/// `adapter`: a file, a reference into a store (api/store.h), or a sum of them (api/adapters.h).
OpenedAdapter open_adapter_on_model(const BaseModel& model, const std::filesystem::path& adapter,
                                    const OpenOptions& options, const Settings& settings);

/// Adapters of one layout as the rows of one bank.
struct OpenedBank {
  BaseModel model;
  std::vector<AdapterFile> files;  // one per row
  std::shared_ptr<const Basis> basis;
  std::shared_ptr<Bank> bank;
  WeightMemory memory = WeightMemory::kNormal;
  torch::Device device = torch::kCPU;
};
/// Throws Error for an empty list and for an adapter of another layout, alpha or kind of basis than the first.
OpenedBank open_bank_on_model(const BaseModel& model, const std::vector<std::filesystem::path>& adapters,
                              const OpenOptions& options, const Settings& settings);

/// The adapter files of a folder, by name, without the bases that travel with them. Throws Error when it has none.
std::vector<std::filesystem::path> adapters_in(const std::filesystem::path& folder);

/// Its rows on a device, gradients left out; the bank itself where they are there.
std::shared_ptr<Bank> bank_on(std::shared_ptr<Bank> bank, torch::Device device);

/// The same for a model that computes in `dtype`: rows are float32 in all but float64.
std::shared_ptr<Bank> bank_for(std::shared_ptr<Bank> bank, torch::ScalarType dtype, torch::Device device);

/// The model with the adapter plugged in, slot 0; with a bank, slot i is its row i.
AdaptedModel adapted_model(const OpenedAdapter& opened, const std::string& precision);
AdaptedModel adapted_model(const OpenedBank& opened, const std::string& precision);

/// Warns on `log` when the machine's GEMM table differs from the one the adapter was trained with.
void warn_on_drift(const AdapterFile& file, const LogSink& log);

}  // namespace loraxs
