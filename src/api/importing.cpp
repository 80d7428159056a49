#include "api/importing.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "adapt/adapter_file.h"
#include "adapt/class_names.h"
#include "adapt/exchange/peft_start.h"
#include "api/adapter_tools.h"
#include "api/opened_adapter.h"
#include "data/label_column.h"
#include "io/atomic_file.h"
#include "io/error.h"

namespace loraxs {
namespace {

/// Names of a head's classes: as told, as config.json beside the adapter or of the model says, or numbered.
std::vector<std::string> labels_for(const PeftAdapter& adapter, const BaseModel& model, const ImportSettings& import) {
  if (adapter.head.empty() || !import.labels.empty()) return import.labels;
  const int64_t outputs = adapter.head.at("head.classifier.weight").size(0);
  for (const std::filesystem::path& folder : {adapter.folder, model.folder}) {
    std::vector<std::string> labels = class_names_in(folder, outputs);
    if (!labels.empty()) return labels;
  }
  return numbered_classes(outputs);
}

/// The adapter as an update of the whole base.
PeftAdapter read_whole(const std::filesystem::path& folder, const BaseModel& model) {
  PeftAdapter adapter = read_peft(folder, *model.architecture, model.config);
  take_start_back(adapter, model);
  return adapter;
}

std::string summary_of(const ImportedAdapter& imported) {
  nlohmann::json json = {{"imported", imported.lora_xs ? "lora_xs" : "lora"}};
  if (!imported.loss.modules.empty()) json["residual"] = imported.loss.whole;
  return json.dump();
}

class Importer {
 public:
  /// `alone`: nothing else is imported beside it, which could share a basis.
  Importer(const BaseModel& model, const ImportSettings& import, bool alone)
      : model_(model), import_(import), alone_(alone) {}

  /// The basis that adapters on these sites are projected on, if they are.
  void prepare(const std::vector<Site>& sites, const Settings& settings) {
    if (!import_.projects()) return;
    basis_ = basis_for(model_, sites, {.rank = import_.rank}, import_.basis_file, settings);
    if (basis_->base_id == model_.base_id) return;
    throw Error(concat(basis_->path.string(), ": base_id: expected ", model_.base_id.substr(0, 16), "… (",
                       model_.folder.string(), "), found ", basis_->base_id.substr(0, 16),
                       "…; this basis belongs to another model"));
  }

  /// Fills `result` and writes its files: a basis that stays with its adapter first. Safe to call from several threads.
  void run(const PeftAdapter& adapter, ImportedAdapter& result) const {
    const std::vector<std::string> labels = labels_for(adapter, model_, import_);
    if (const std::string* twice = repeated_label(labels); twice != nullptr) {
      throw Error(
          concat(adapter.folder.string(), ": --labels: expected each class once, found \"", *twice, "\" twice"));
    }
    result.lora_xs = adapter.has_r();
    result.sites = static_cast<int64_t>(adapter.modules.size());
    if (basis_) {
      const ProjectedAdapter projected = import_projected(adapter, model_, *basis_, labels);
      result.loss = projected.loss;
      result.rank = basis_->recipe.rank;
      result.basis_variant = basis_->recipe.variant;
      check_loss(adapter, result.loss);
      write_adapter(result.out, projected.bank, 0, model_, *basis_, {.summary = summary_of(result)});
      return;
    }
    if (!result.lora_xs) {
      const Bank bank = import_lora(adapter, model_, labels);
      result.rank = bank.layout->largest_rank();
      write_adapter(result.out, bank, 0, model_, {}, {.summary = summary_of(result)});
      return;
    }
    ImportedCheckpoint checkpoint = import_checkpoint(adapter, model_, labels);
    result.rank = checkpoint.basis.recipe.rank;
    result.basis_variant = checkpoint.basis.recipe.variant;
    const bool is_new = keep_basis(result.out, checkpoint.basis);
    result.basis_file = checkpoint.basis.path;
    try {
      write_adapter(result.out, checkpoint.bank, 0, model_, checkpoint.basis, {.summary = summary_of(result)});
    } catch (...) {
      std::error_code ignored;
      if (is_new && alone_) std::filesystem::remove(result.basis_file, ignored);  // others may have taken it by now
      throw;
    }
  }

 private:
  void check_loss(const PeftAdapter& adapter, const ProjectionLoss& loss) const {
    const auto& [site, worst] = loss.worst();
    if (worst <= import_.threshold) return;
    throw Error(concat(adapter.folder.string(), ": ", site, ": expected a relative residual of at most ",
                       import_.threshold, " on the basis of rank ", basis_->recipe.rank, ", found ", worst,
                       " (all modules together ", loss.whole, "); --threshold accepts more, --rank a finer basis"));
  }

  const BaseModel& model_;
  const ImportSettings& import_;
  const bool alone_;
  std::shared_ptr<const Basis> basis_;
};

}  // namespace

ImportedAdapter import_adapter(const BaseModel& model, const std::filesystem::path& from,
                               const std::filesystem::path& out, const ImportSettings& import,
                               const Settings& settings) {
  refuse_existing(out, "--out");
  const PeftAdapter adapter = read_whole(from, model);
  Importer importer(model, import, /*alone=*/true);
  importer.prepare(adapter.sites(), settings);
  ImportedAdapter result{.from = from, .out = out};
  importer.run(adapter, result);
  return result;
}

std::vector<ImportedAdapter> import_folder(const BaseModel& model, const std::filesystem::path& folder,
                                           const std::filesystem::path& out, const ImportSettings& import,
                                           const Settings& settings) {
  if (!std::filesystem::is_directory(folder)) throw Error(concat(folder.string(), ": expected a folder, found none"));
  refuse_existing(out, "--out");
  std::vector<ImportedAdapter> results;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!is_peft_folder(entry.path())) continue;
    results.push_back({.from = entry.path(), .out = out / (entry.path().filename().string() + ".safetensors")});
  }
  if (results.empty()) throw Error(concat(folder.string(), ": expected folders with adapter_config.json, found none"));
  std::sort(results.begin(), results.end(), [](const auto& x, const auto& y) { return x.from < y.from; });
  const auto count = static_cast<int64_t>(results.size());
  std::vector<std::optional<PeftAdapter>> adapters(results.size());
  const auto each = [&](const std::function<void(int64_t)>& work) {
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        try {
          work(i);
        } catch (const Error& error) {
          results[i].error = error.what();
        }
      }
    });
  };
  each([&](int64_t i) { adapters[i] = read_whole(results[i].from, model); });
  std::vector<Site> sites;
  for (const Site& site : list_sites(*model.architecture, model.config)) {
    const auto adapts = [&](const std::optional<PeftAdapter>& adapter) {
      return adapter && std::any_of(adapter->modules.begin(), adapter->modules.end(),
                                    [&](const PeftModule& module) { return module.site == site; });
    };
    if (std::any_of(adapters.begin(), adapters.end(), adapts)) sites.push_back(site);
  }
  Importer importer(model, import, /*alone=*/false);
  if (!sites.empty()) importer.prepare(sites, settings);
  std::filesystem::create_directories(out);
  each([&](int64_t i) {
    if (adapters[i]) importer.run(*adapters[i], results[i]);
  });
  return results;
}

}  // namespace loraxs
