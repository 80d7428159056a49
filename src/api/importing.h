// api/importing.h: adapters that PEFT or the paper's reference wrote, as adapter files.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "adapt/exchange/import.h"
#include "api/settings.h"

namespace loraxs {

struct ImportSettings {
  int64_t rank = 0;                  // > 0: projected on the model's basis of this rank; 0: as it is
  std::filesystem::path basis_file;  // projected on this basis instead
  double threshold = 0.01;           // largest relative residual of a module that a projection may leave
  std::vector<std::string>
      labels;  // classes of the head; empty = as config.json beside it or of the model says, else LABEL_0 …
  bool projects() const { return rank > 0 || !basis_file.empty(); }
};

struct ImportedAdapter {
  std::filesystem::path from, out;
  std::filesystem::path basis_file;  // written beside it, where the adapter keeps the basis it came with
  std::string basis_variant;         // imported_svd, imported_random, that of the basis projected on; empty: none
  bool lora_xs = false;              // brought R; else a plain LoRA
  ProjectionLoss loss;               // empty without a projection
  int64_t sites = 0, rank = 0;       // the largest rank
  std::string error;                 // import_folder: why there is no file; the rest is then as far as it came
};

/// Reads `from` and writes the adapter `out`: projected, or as it is, LoRA with its A and B in the row and LoRA-XS with
/// its basis beside it (travelling_basis). Throws Error when `out` exists and when a module's residual exceeds the
/// threshold; no adapter is left then.
ImportedAdapter import_adapter(const BaseModel& model, const std::filesystem::path& from,
                               const std::filesystem::path& out, const ImportSettings& import,
                               const Settings& settings);

/// Every PEFT folder right in `folder`, side by side, as `out`/NAME.safetensors; equal bases are written once. What
/// cannot be imported has its error and hinders nobody. Results do not depend on the number of threads. Throws Error
/// when there is none.
std::vector<ImportedAdapter> import_folder(const BaseModel& model, const std::filesystem::path& folder,
                                           const std::filesystem::path& out, const ImportSettings& import,
                                           const Settings& settings);

}  // namespace loraxs
