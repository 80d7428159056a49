// commands/session.h: what several commands need before their own work: cache folder, precision, a model with an
// adapter.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "adapt/adapted_model.h"
#include "adapt/adapter_file.h"
#include "cli/options.h"
#include "io/log.h"

namespace loraxs {

std::filesystem::path cache_folder(const CommonOptions& common);
LogSink stderr_log(const CommonOptions& common);

/// auto is bfloat16 where the CPU multiplies it fast (AVX-512 BF16 or AMX), else float32. `reason` says why.
torch::ScalarType resolve_precision(const std::string& precision, std::string* reason = nullptr);

/// The basis for an adapter's sites: the file at `basis_path`, else computed (or taken from the cache) by the recipe.
std::shared_ptr<const Basis> basis_for(const BaseModel& model, const std::vector<Site>& sites,
                                       const BasisRecipe& recipe, const std::string& basis_path,
                                       const CommonOptions& common);

/// An adapter opened on its model and basis, checked.
struct OpenedAdapter {
  BaseModel model;
  AdapterFile file;
  std::shared_ptr<const Basis> basis;
  std::shared_ptr<Bank> bank;  // of one
};
OpenedAdapter open_adapter_on_model(const AdapterOptions& options, const CommonOptions& common);

/// The model with the adapter plugged in, slot 0.
AdaptedModel adapted_model(const OpenedAdapter& opened, const std::string& precision);

/// Warns on `log` when the machine's GEMM table differs from the one the adapter was trained with.
void warn_on_drift(const AdapterFile& file, const LogSink& log);

/// Largest resident set of this process so far.
int64_t peak_memory_bytes();

/// "24.6 KB", in powers of 1000.
std::string human_bytes(int64_t bytes);

}  // namespace loraxs
