// api/adapter_store.h: a store's URL as the store of a fleet.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapt/basis.h"
#include "model/base_model.h"
#include "store/store.h"
#include "train/fleet_store.h"

namespace loraxs {

/// Rows go in as float32, a batch at a time. All must outlive this.
class AdapterStore final : public FleetStore {
 public:
  /// Makes the store where nothing is. Throws Error where it is no store, or does not open.
  AdapterStore(const std::string& url, const BaseModel& model, std::shared_ptr<const Basis> basis);

  void put(std::span<const FinishedRow> rows) override;
  std::optional<AdapterFile> get(const std::string& reference) override;
  nlohmann::json summary_of(const std::string& title) override;
  std::vector<std::string> list(const std::string& prefix) override;
  std::optional<std::string> title_of(const std::filesystem::path& adapter) override;

 private:
  std::shared_ptr<Store> store_;
  const BaseModel& model_;
  std::shared_ptr<const Basis> basis_;
};

}  // namespace loraxs
