#include "api/opened_adapter.h"

#include <algorithm>

#include "api/store.h"
#include "io/error.h"
#include "io/gguf.h"
#include "io/sha256.h"
#include "ops/frozen_gemm.h"

namespace loraxs {
namespace {

constexpr const char* kBasisEnding = ".basis.safetensors";

/// Files older than tokenizer.ggml.pre do not say how their text is cut.
void warn_of_unnamed_cuts(const std::filesystem::path& model, const Settings& settings) {
  if (!settings.log || !is_gguf_path(model) || !settings.reading.pre_tokenizer.empty()) return;
  const Gguf file = read_gguf(model);
  constexpr const char *kModel = "tokenizer.ggml.model", *kPre = "tokenizer.ggml.pre";
  if (!file.has(kModel) || file.text(kModel) != "gpt2" || (file.has(kPre) && file.text(kPre) != "default")) return;
  settings.log(LogLevel::kWarning,
               concat(model.string(), ": ", kPre, ": the file names no way to cut text, llama.cpp's default is taken; ",
                      "--pre-tokenizer NAME gives the one that the model was trained with"));
}

}  // namespace

BaseModel open_model(const std::filesystem::path& folder, const Settings& settings) {
  warn_of_unnamed_cuts(folder, settings);
  return load_base_model(folder, settings.cache, settings.reading);
}

std::shared_ptr<const Basis> basis_for(const BaseModel& model, const std::vector<Site>& sites,
                                       const BasisRecipe& recipe, const std::filesystem::path& basis_file,
                                       const Settings& settings) {
  if (recipe.variant == "vera") return std::make_shared<Basis>(draw_vera_basis(sites, model.base_id, recipe));
  if (!basis_file.empty()) return std::make_shared<Basis>(read_basis(basis_file));
  return std::make_shared<Basis>(cached_basis(
      settings.cache, sites, [&](const Site& site) { return model.site_weight(site); }, model.base_id, recipe,
      settings.log));
}

std::filesystem::path travelling_basis(const std::filesystem::path& adapter, const std::string& basis_id) {
  constexpr size_t kDigits = 16;
  return adapter.parent_path() / (basis_id.substr(0, kDigits) + kBasisEnding);
}

bool keep_basis(const std::filesystem::path& adapter, Basis& basis) {
  basis.basis_id = basis_digest(basis);
  basis.path = travelling_basis(adapter, basis.basis_id);
  const auto is_there = [&] {
    return std::filesystem::is_regular_file(basis.path) && sha256_of_file(basis.path) == basis.basis_id;
  };
  if (is_there()) return false;
  try {
    write_basis(basis.path, basis);
    return true;
  } catch (const Error&) {
    if (!is_there()) throw;  // else another thread was faster
    return false;
  }
}

std::filesystem::path kept_basis(const std::filesystem::path& folder) {
  std::filesystem::path found;
  if (!std::filesystem::is_directory(folder)) return found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.path().string().ends_with(kBasisEnding)) continue;
    if (!found.empty())
      throw Error(concat(folder.string(), ": expected one basis, found ", found.filename().string(), " and ",
                         entry.path().filename().string()));
    found = entry.path();
  }
  return found;
}

std::filesystem::path basis_file_of(const AdapterFile& adapter, const std::filesystem::path& basis_file,
                                    const std::filesystem::path& cache) {
  if (!basis_file.empty() || !adapter.basis.travels()) return basis_file;
  if (is_store_url(adapter.path.string())) return stored_basis(adapter, cache);
  for (const std::filesystem::path& place : {adapter.path, adapter.path.parent_path()}) {
    std::filesystem::path beside = travelling_basis(place, adapter.basis_id);
    if (std::filesystem::exists(beside)) return beside;
  }
  return {};
}

void check_basis_file(const std::filesystem::path& basis_file, const std::vector<const AdapterFile*>& adapters) {
  const auto takes = [](const AdapterFile* file) { return reads_basis(*file) && file->basis.variant != "vera"; };
  if (basis_file.empty() || std::ranges::any_of(adapters, takes)) return;
  throw Error(concat(basis_file.string(), ": expected an adapter that --basis is for, found ",
                     adapters.empty() ? "none" : "one of " + adapters.front()->method, "; leave it out"));
}

OpenedBank open_bank_on_model(const BaseModel& model, const std::vector<std::filesystem::path>& adapters,
                              const OpenOptions& options, const Settings& settings) {
  if (adapters.empty()) throw Error("expected adapter files to open, found none");
  const std::vector<std::shared_ptr<Store>> stores = open_stores_of({adapters.begin(), adapters.end()});
  OpenedBank opened{.model = model, .memory = options.memory, .device = options.device};
  for (const std::filesystem::path& path : adapters) {
    opened.files.push_back(load_adapter(path));
    const AdapterFile& file = opened.files.back();
    const AdapterFile& first = opened.files.front();
    const Layout layout = resolve_layout(file, model, options.accept_base);
    if (!opened.basis) {
      opened.basis = reads_basis(file) ? basis_for(model, layout.sites, file.basis,
                                                   basis_file_of(file, options.basis_file, settings.cache), settings)
                                       : std::make_shared<Basis>();
    }
    if (opened.bank && (!(layout == *opened.bank->layout) || !(file.basis == first.basis))) {
      throw Error(concat(path.string(), ": expected the layout and kind of basis of ", first.path.string(),
                         ", found others; a bank holds adapters of one layout"));
    }
    Bank bank = open_adapter(file, layout, *opened.basis);
    if (opened.bank) {
      opened.bank->add(bank.values[0], bank.entries[0]);
    } else {
      opened.bank = std::make_shared<Bank>(std::move(bank));
    }
  }
  std::vector<const AdapterFile*> files;
  files.reserve(opened.files.size());
  for (const AdapterFile& file : opened.files) files.push_back(&file);
  check_basis_file(options.basis_file, files);
  return opened;
}

std::vector<std::filesystem::path> adapters_in(const std::filesystem::path& folder) {
  if (!std::filesystem::is_directory(folder)) {
    throw Error(concat(folder.string(), ": expected a folder of adapters, found none"));
  }
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".safetensors") && !name.ends_with(kBasisEnding)) paths.push_back(entry.path());
  }
  if (paths.empty())
    throw Error(
        concat(folder.string(), ": expected adapter files (*.safetensors), found none; folders inside are not read"));
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::shared_ptr<Bank> bank_on(std::shared_ptr<Bank> bank, torch::Device device) {
  if (bank->values.device() == device) return bank;
  auto there = std::make_shared<Bank>(*bank);
  there->values = bank->values.to(device);
  there->gradients = torch::Tensor();
  return there;
}

std::shared_ptr<Bank> bank_for(std::shared_ptr<Bank> bank, torch::ScalarType dtype, torch::Device device) {
  if (dtype == torch::kFloat64) {
    const torch::Tensor values = bank->values.to(torch::kFloat64);
    bank = std::make_shared<Bank>(*bank);
    bank->values = values;
  }
  return bank_on(std::move(bank), device);
}

AdaptedModel adapted_model(const OpenedAdapter& opened, const std::string& precision) {
  return adapted_model(OpenedBank{.model = opened.model,
                                  .basis = opened.basis,
                                  .bank = opened.bank,
                                  .memory = opened.memory,
                                  .device = opened.device},
                       precision);
}

AdaptedModel adapted_model(const OpenedBank& opened, const std::string& precision) {
  const torch::ScalarType dtype = resolve_precision(precision);
  return AdaptedModel(opened.model, opened.basis, AdapterSet::of_bank(bank_for(opened.bank, dtype, opened.device)),
                      dtype, opened.device, opened.memory);
}

void warn_on_drift(const AdapterFile& file, const LogSink& log) {
  const std::string& trained = file.provenance.gemm_record;
  if (!log || trained.empty() || trained == gemm_record()) return;
  log(LogLevel::kWarning, concat(file.path.string(), ": trained with \"", trained, "\", this machine runs \"",
                                 gemm_record(), "\"; results may differ in the last digits"));
}

}  // namespace loraxs
