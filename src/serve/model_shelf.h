// serve/model_shelf.h: the models that requests may name: a base, every adapter of a store on it, sums of these, and
// adapters that come along; their rows stand in resident banks.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "adapt/adapter_file.h"
#include "adapt/resident_bank.h"
#include "api/settings.h"
#include "model/base_model.h"
#include "serve/answering.h"
#include "store/store.h"

namespace loraxs {

struct ShelfOptions {
  std::string store;                            // URL; empty: the base, and adapters that come along
  std::filesystem::path basis_file;             // empty: computed, and checked by the adapters' fingerprints
  bool accept_base = false;                     // adapters of another base, where their basis fits this one
  int64_t max_rank = 0;                         // room for LoRA-XS of this rank on every linear module, whoever comes
  int64_t resident_rows = 0;                    // of each layout; 0: as many as resident_bytes hold
  int64_t resident_bytes = int64_t{256} << 20;  // of each layout
  torch::Device device = torch::kCPU;
};

/// Thread-safe. Banks are added, never taken away; a kind of adapters is opened and checked when the first of it is
/// asked for, those that the store holds at the start at once.
class ModelShelf {
 public:
  /// Throws Error where the store does not open.
  ModelShelf(const BaseModel& model, ShelfOptions options, const Settings& settings);

  /// See Answering.
  ServedModelPtr find(const Caller& caller, const std::string& name);
  ServedModelPtr adopt(const std::string& file);
  std::vector<ModelInfo> list(const Caller& caller, const std::string& after, int64_t limit);
  std::optional<ModelInfo> info(const Caller& caller, const std::string& name);
  void remove(const Caller& caller, const std::string& name);
  void keep(const Caller& caller, const std::string& name, bool pinned);

  /// What the base calls itself.
  const std::string& base_name() const { return base_name_; }
  std::shared_ptr<const Basis> basis() const { return basis_; }
  /// The places of all banks as slots. Those that were there keep their number when banks are added.
  AdapterSet set() const;
  size_t num_banks() const;

  /// Holds the model's row, which may still be on its way; null while all places of its kind are held.
  std::shared_ptr<const PinnedRow> pin(const ServedModel& model) const;
  /// In set().
  int64_t slot_of(const ServedModel& model, const PinnedRow& pin) const;

  /// Of all banks together.
  struct Residents {
    int64_t rows = 0, capacity = 0, loads = 0;
  };
  Residents residents() const;

 private:
  class RowModel;
  /// Adapters that share what the store keeps once: opened on this base, or why they cannot be.
  struct Kind {
    nlohmann::json json;
    std::shared_ptr<const Layout> layout;
    double alpha = 0;
    size_t bank = 0;
    std::string error;
  };
  /// A bank of one layout, and the number of its first slot.
  struct Room {
    std::shared_ptr<ResidentBank> bank;
    int64_t first_slot = 0;
  };

  Kind open_kind(nlohmann::json json, const std::string& where) const;
  const Kind& kind_of(const Digest& digest, const std::string& where);
  void check_reserved(const Layout& layout) const;
  void check_served(const AdapterFile& file, const Layout& layout) const;
  size_t room_of(const std::shared_ptr<const Layout>& layout);
  void prepare_basis(const Settings& settings);
  bool sees(const Caller& caller, const std::string& tenant) const {
    return caller.sees_all || tenant == caller.tenant;
  }
  AdapterName name_of(const Caller& caller, const std::string& text, uint64_t& version) const;
  [[noreturn]] void fail_unknown(const Caller& caller, const std::string& text) const;
  std::shared_ptr<const RowModel> stored(const Caller& caller, const std::string& text);
  std::shared_ptr<const RowModel> sum(const Caller& caller, const std::string& expression);
  ModelInfo base_info() const;
  ModelInfo info_of(const AdapterName& name, const RowHeader& header, size_t row_bytes, const std::string& tail) const;

  const BaseModel& model_;
  ShelfOptions options_;
  LogSink log_;
  std::string base_name_;
  int64_t started_ = 0;           // seconds since 1970
  std::shared_ptr<Store> store_;  // null: none
  std::shared_ptr<const Basis> basis_;
  mutable std::mutex mutex_;           // of what follows
  std::map<std::string, Kind> kinds_;  // by digest
  std::vector<Room> rooms_;
  std::optional<Reservation> reserved_;                           // what the base is prepared for
  std::map<std::string, std::shared_ptr<const PinnedRow>> kept_;  // by name
};

}  // namespace loraxs
