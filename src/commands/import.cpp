#include "cli/subcommands/import.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "api/importing.h"
#include "commands/session.h"
#include "io/error.h"

namespace loraxs {
namespace {

std::string name_of(const std::filesystem::path& folder) { return folder.filename().string(); }

int64_t bytes_of(const ImportedAdapter& imported) {
  return static_cast<int64_t>(std::filesystem::file_size(imported.out));
}

nlohmann::json to_json(const ImportedAdapter& imported) {
  nlohmann::json json = {{"from", imported.from.string()}};
  if (!imported.error.empty()) {
    json["error"] = imported.error;
    return json;
  }
  json.update({{"out", imported.out.string()},
               {"kind", imported.lora_xs ? "lora_xs" : "lora"},
               {"sites", imported.sites},
               {"rank", imported.rank},
               {"bytes", bytes_of(imported)}});
  if (!imported.basis_variant.empty()) json["basis"] = imported.basis_variant;
  if (!imported.basis_file.empty()) json["basis_file"] = imported.basis_file.string();
  if (!imported.loss.modules.empty()) {
    json["residual"] = imported.loss.whole;
    json["residuals"] = imported.loss.modules;
  }
  return json;
}

/// One line of the table: what an exact import brought, or the residual of all modules and the worst.
void print_row(const ImportedAdapter& imported) {
  std::cout << "| " << name_of(imported.from) << " | ";
  if (!imported.error.empty()) {
    std::cout << "refused | | | | " << imported.error << " |\n";
    return;
  }
  std::cout << (imported.lora_xs ? "LoRA-XS" : "LoRA") << " | " << imported.sites << " | " << imported.rank << " | "
            << human_bytes(bytes_of(imported)) << " | ";
  if (imported.loss.modules.empty()) {
    std::cout << "none: as it is";
    if (!imported.basis_file.empty()) std::cout << ", basis " << imported.basis_file.filename().string();
    std::cout << " |\n";
  } else {
    std::cout << imported.loss.whole << ", worst " << imported.loss.worst().second << " ("
              << imported.loss.worst().first << ") |\n";
  }
}

}  // namespace

int run(const ImportOptions& options, const CommonOptions& common) {
  if (options.from.empty() == options.folder.empty()) {
    throw Error("import: expected --from FOLDER, one adapter, or --in FOLDER, a folder of them");
  }
  const Settings settings = settings_of(common);
  const BaseModel model = open_model(options.model, settings);
  const ImportSettings import{
      .rank = options.rank, .basis_file = options.basis, .threshold = options.threshold, .labels = options.labels};
  const std::vector<ImportedAdapter> results =
      options.from.empty() ? import_folder(model, options.folder, options.out, import, settings)
                           : std::vector{import_adapter(model, options.from, options.out, import, settings)};
  int64_t refused = 0;
  if (!common.json)
    std::cout << "| adapter | was | sites | rank | file | relative residual |\n|---|---|---|---|---|---|\n";
  for (const ImportedAdapter& imported : results) {
    if (!imported.error.empty()) ++refused;
    if (common.json) {
      std::cout << to_json(imported).dump() << '\n';
    } else {
      print_row(imported);
    }
  }
  if (refused == 0) return 0;
  throw Error(concat(options.folder, ": ", refused, " of ", results.size(), " adapters were refused, see the table"));
}

}  // namespace loraxs
