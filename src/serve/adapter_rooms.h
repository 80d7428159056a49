// serve/adapter_rooms.h: room for the adapters of a server: one basis, and a bank of places for each layout.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "adapt/adapter_file.h"
#include "adapt/reservation.h"
#include "adapt/resident_bank.h"
#include "api/settings.h"
#include "model/base_model.h"
#include "store/store.h"

namespace loraxs {

struct RoomOptions {
  std::filesystem::path basis_file;             // empty: computed, and checked by the adapters' fingerprints
  bool accept_base = false;                     // adapters of another base, where their basis fits this one
  int64_t max_rank = 0;                         // room for LoRA-XS of this rank on every linear module, whoever comes
  int64_t resident_rows = 0;                    // of each layout; 0: as many as resident_bytes hold
  int64_t resident_bytes = int64_t{256} << 20;  // of each layout
  torch::Device device = torch::kCPU;
};

/// Thread-safe. Banks are added, never taken away. The base is prepared for the layouts that are there at the start;
/// adapters of others have room where that covers them.
class AdapterRooms {
 public:
  /// What adapters that share a kind have in common: opened on this base, or why they cannot be.
  struct Kind {
    nlohmann::json json;
    std::shared_ptr<const Layout> layout;
    double alpha = 0;
    size_t room = 0;
    std::string error;
  };

  /// Finds one basis for all kinds of `store` (null: none) that stand on this base; tells of those that have no room.
  AdapterRooms(const BaseModel& model, Store* store, RoomOptions options, const Settings& settings);

  /// The kind of that digest; `text` gives its JSON the first time. Its error is kept, too.
  const Kind& kind(const Digest& digest, const std::string& where, const std::function<std::string()>& text);
  /// The layout of an adapter that has room here. Throws Error: another base or basis, a layout not prepared for.
  std::shared_ptr<const Layout> open(const AdapterFile& file) const;
  /// The room of a layout, made where there is none yet. Throws Error where the base is not prepared for it.
  size_t room_of(const std::shared_ptr<const Layout>& layout);

  std::shared_ptr<const Basis> basis() const { return basis_; }
  /// The places of all rooms as slots. Those that were there keep their number when rooms are added.
  AdapterSet set() const;
  size_t num_rooms() const;
  /// Holds a place for the row of a model, by what names all that it and what stands beside it are (ServedModel::key);
  /// null while all places of the room are held.
  std::shared_ptr<const PinnedRow> pin(size_t room, const std::string& key, const RowLoader& load) const;
  /// Whether the row is there.
  bool holds(size_t room, const std::string& key) const;
  int64_t capacity(size_t room) const;  // places
  /// In set().
  int64_t slot_of(size_t room, const PinnedRow& pin) const;

  /// Of all rooms together.
  struct Residents {
    int64_t rows = 0, capacity = 0, loads = 0;
  };
  Residents residents() const;

 private:
  std::shared_ptr<ResidentBank> bank_of(size_t room) const;
  struct Opened {
    AdapterFile file;
    Layout layout;
  };
  struct Room {
    std::shared_ptr<ResidentBank> bank;
    int64_t first_slot = 0;
  };

  Opened open_kind(const nlohmann::json& json, const std::string& where) const;
  std::vector<Opened> kinds_of(Store& store, const LogSink& log) const;
  std::vector<Site> sites_of(const std::vector<Opened>& found) const;
  void check_reserved(const Layout& layout) const;
  void check_basis(const AdapterFile& file, const Layout& layout) const;

  const BaseModel& model_;
  RoomOptions options_;
  std::shared_ptr<const Basis> basis_;
  std::optional<Reservation> reserved_;  // what the base is prepared for; none: it is being found out
  mutable std::mutex mutex_;             // of what follows
  std::map<std::string, Kind> kinds_;    // by digest
  std::vector<Room> rooms_;
};

}  // namespace loraxs
