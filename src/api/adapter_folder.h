// api/adapter_folder.h: a folder of adapter files, FOLDER/TENANT/NAME.safetensors, as a fleet's store.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "adapt/basis.h"
#include "model/base_model.h"
#include "train/fleet_store.h"

namespace loraxs {

/// A finished row as a bank of one.
Bank bank_of(const FinishedRow& row);

/// A file that is there already is replaced if it is an adapter of the same base; each is whole or absent at any
/// moment. All must outlive this.
class AdapterFolder final : public FleetStore {
 public:
  /// Throws Error where the folder cannot be made.
  AdapterFolder(std::filesystem::path folder, const BaseModel& model, std::shared_ptr<const Basis> basis);

  void put(std::span<const FinishedRow> rows) override;
  std::optional<AdapterFile> get(const std::string& reference) override;
  nlohmann::json summary_of(const std::string& title) override;
  std::vector<std::string> list(const std::string& prefix) override;
  std::optional<std::string> title_of(const std::filesystem::path& adapter) override;
  [[nodiscard]] std::filesystem::path path_of(const std::string& tenant, const std::string& name) const;

 private:
  std::filesystem::path folder_;
  const BaseModel& model_;
  std::shared_ptr<const Basis> basis_;
};

}  // namespace loraxs
