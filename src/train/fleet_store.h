// train/fleet_store.h: where the adapters of a fleet go, and where its jobs may start from.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adapt/adapter_file.h"
#include "adapt/layout.h"

namespace loraxs {

/// A trained row with what belongs to it.
struct FinishedRow {
  std::string tenant, name;
  std::shared_ptr<const Layout> layout;
  std::vector<std::string> labels;
  double alpha = 16;
  torch::Tensor row;  // [row] on the CPU
  AdapterProvenance provenance;
};

/// Two threads may call it side by side.
class FleetStore {
 public:
  FleetStore() = default;
  virtual ~FleetStore() = default;
  FleetStore(const FleetStore&) = delete;
  FleetStore& operator=(const FleetStore&) = delete;

  /// Durable when it returns. Putting what is newest already adds nothing. Throws Error.
  virtual void put(std::span<const FinishedRow> rows) = 0;
  /// `reference`: TENANT/NAME, or TENANT/NAME@VERSION where the store keeps versions. Nothing where there is none.
  virtual std::optional<AdapterFile> get(const std::string& reference) = 0;
  /// The training summary (JSON) of the newest of TENANT/NAME; null where there is none that can be read.
  virtual nlohmann::json summary_of(const std::string& title) = 0;
  /// Those that begin with `prefix`, as TENANT/NAME, sorted.
  virtual std::vector<std::string> list(const std::string& prefix) = 0;
  /// What get() calls an adapter that is there, a file or a store's reference; nothing where it is of no place in here.
  virtual std::optional<std::string> title_of(const std::filesystem::path& adapter) = 0;
};

}  // namespace loraxs
