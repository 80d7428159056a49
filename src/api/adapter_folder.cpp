#include "api/adapter_folder.h"

#include <algorithm>

#include "adapt/adapter_file.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "store/reference.h"

namespace loraxs {

AdapterFolder::AdapterFolder(std::filesystem::path folder, const BaseModel& model, std::shared_ptr<const Basis> basis)
    : folder_(std::move(folder)), model_(model), basis_(std::move(basis)) {
  std::error_code code;
  std::filesystem::create_directories(folder_, code);
  if (code) throw Error(concat(folder_.string(), ": cannot create: ", code.message(), "; choose another fleet.store"));
}

std::filesystem::path AdapterFolder::path_of(const std::string& tenant, const std::string& name) const {
  return folder_ / tenant / (name + ".safetensors");
}

Bank bank_of(const FinishedRow& row) {
  Bank bank = make_bank(row.layout, row.alpha, 1, row.row.scalar_type());
  bank.set_labels(0, row.labels);
  bank.values.select(0, 0).copy_(row.row);
  return bank;
}

void AdapterFolder::put(std::span<const FinishedRow> rows) {
  for (const FinishedRow& row : rows) {
    const std::filesystem::path path = path_of(row.tenant, row.name);
    make_folder(path.parent_path());
    if (std::filesystem::exists(path)) {
      if (const AdapterFile there = read_adapter(path); there.base_id != model_.base_id) {
        throw Error(concat(path.string(), ": expected an adapter of base ", model_.base_id.substr(0, 16),
                           ", found one of ", there.base_id.substr(0, 16), "; choose another fleet.store"));
      }
    }
    write_adapter(path, bank_of(row), 0, model_, *basis_, row.provenance, Existing::kReplaced);
  }
}

std::optional<AdapterFile> AdapterFolder::get(const std::string& reference) {
  const size_t slash = reference.find('/');
  if (reference.find('@') != std::string::npos) {
    throw Error(
        concat(folder_.string(), ": expected no version, as a folder keeps the newest alone, found ", reference));
  }
  if (slash == std::string::npos || reference.find("..") != std::string::npos) {
    throw Error(concat(folder_.string(), ": expected TENANT/NAME, found ", reference));
  }
  const std::filesystem::path path = path_of(reference.substr(0, slash), reference.substr(slash + 1));
  if (!std::filesystem::exists(path)) return std::nullopt;
  return read_adapter(path);
}

nlohmann::json AdapterFolder::summary_of(const std::string& title) {
  try {
    const std::optional<AdapterFile> file = get(title);
    return file ? json_or_null(file->provenance.summary) : nlohmann::json();
  } catch (const Error&) {  // a damaged file is written anew
    return nullptr;
  }
}

std::vector<std::string> AdapterFolder::list(const std::string& prefix) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& tenant : std::filesystem::directory_iterator(folder_, ignored)) {
    if (!tenant.is_directory()) continue;
    for (const auto& file : std::filesystem::directory_iterator(tenant.path(), ignored)) {
      if (file.path().extension() != ".safetensors") continue;
      std::string name = (tenant.path().filename() / file.path().stem()).string();
      if (name.starts_with(prefix)) names.push_back(std::move(name));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<std::string> AdapterFolder::title_of(const std::filesystem::path& adapter) {
  if (is_store_url(adapter.string())) return std::nullopt;
  std::error_code code;
  const std::filesystem::path tenant = adapter.parent_path();
  if (!std::filesystem::equivalent(tenant / "..", folder_, code)) return std::nullopt;
  const std::filesystem::path place = std::filesystem::canonical(tenant, code);
  return (place.filename() / adapter.stem()).string();
}

}  // namespace loraxs
