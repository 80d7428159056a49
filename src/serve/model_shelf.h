// serve/model_shelf.h: the models that requests may name: a base, every adapter of a store on it, sums of these, and
// adapters that come along.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/settings.h"
#include "serve/adapter_rooms.h"
#include "serve/answering.h"
#include "serve/asked_store.h"
#include "serve/known_versions.h"
#include "store/store.h"

namespace loraxs {

struct ShelfOptions {
  std::string store;  // URL; empty: the base, and adapters that come along
  RoomOptions rooms;
};

/// Thread-safe.
class ModelShelf {
 public:
  /// Throws Error where the store does not open.
  ModelShelf(const BaseModel& model, const ShelfOptions& options, const Settings& settings);

  /// See Answering. Where the store does not answer at once, a model whose row is in memory is the one that it was when
  /// the store last answered; what the store says later counts from then on.
  ServedModelPtr find(const Caller& caller, const std::string& name);
  ServedModelPtr adopt(const std::string& file);
  std::vector<ModelInfo> list(const Caller& caller, const std::string& after, int64_t limit);
  std::optional<ModelInfo> info(const Caller& caller, const std::string& name);
  void remove(const Caller& caller, const std::string& name);
  void keep(const Caller& caller, const std::string& name, bool pinned);

  /// What the base calls itself.
  const std::string& base_name() const { return base_name_; }
  const AdapterRooms& rooms() const { return rooms_; }

  /// Holds the row of a model that is not the base; it may still be on its way. Null while all places of its room are
  /// held.
  std::shared_ptr<const PinnedRow> pin(const ServedModel& model) const;
  /// The room of a model that is not the base.
  size_t room_of(const ServedModel& model) const;
  /// In rooms().set().
  int64_t slot_of(const ServedModel& model, const PinnedRow& pin) const;

 private:
  class RowModel;
  struct Version {
    AdapterName name;
    uint64_t version = 0;  // 0: the newest
  };
  /// A place that load_lora_adapter takes from requests.
  struct Kept {
    size_t room = 0;
    std::string key;                       // of the row
    std::shared_ptr<const PinnedRow> row;  // null: on its way
  };

  bool sees(const Caller& caller, const std::string& tenant) const {
    return caller.sees_all || tenant == caller.tenant;
  }
  /// None for what is no name, and for what the caller does not see: both do not exist for him.
  std::optional<Version> parse(const Caller& caller, const std::string& text) const;
  /// `current` null: the store must say. Else what it said last will do, and *current becomes false.
  std::optional<StoredVersion> read(const Caller& caller, const std::string& text, bool* current = nullptr) const;
  [[noreturn]] void fail_unknown(const Caller& caller, const std::string& text) const;
  static std::shared_ptr<RowModel> make_model(std::string id, std::string key, size_t room,
                                              std::shared_ptr<const Layout> layout, double alpha,
                                              const std::vector<std::string>& labels);
  /// Any model but the base, `current` as of read().
  std::shared_ptr<const RowModel> named(const Caller& caller, const std::string& name, bool* current);
  std::shared_ptr<const RowModel> stored(const Caller& caller, const std::string& text, bool* current);
  std::shared_ptr<const RowModel> sum(const Caller& caller, const std::string& expression, bool* current);
  std::shared_ptr<const RowModel> find_row(const Caller& caller, const std::string& name);
  void check_kept(const Caller& caller, const std::string& name, const RowModel& model) const;
  ModelInfo base_info() const;
  ModelInfo info_of(const StoredVersion& entry) const;

  LogSink log_;
  std::string base_name_;
  int64_t started_ = 0;                // seconds since 1970
  std::shared_ptr<AskedStore> store_;  // null: none
  std::shared_ptr<KnownVersions> known_ = std::make_shared<KnownVersions>();
  AdapterRooms rooms_;
  mutable std::mutex mutex_;          // of what follows
  std::map<std::string, Kept> kept_;  // by name
};

}  // namespace loraxs
