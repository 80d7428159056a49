// serve/known_versions.h: what a store last said of the adapters that were asked for. Without LibTorch.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "store/row_value.h"

namespace loraxs {

/// What a store says of a version of an adapter, its row aside.
struct StoredVersion {
  AdapterName name;
  RowHeader header;
  std::string tail;
  size_t row_bytes = 0;
};

/// By name and the version asked for (0: the newest). Look-ups may overlap and end in any order: what one said stays
/// unless a later one says otherwise. Holds so many bytes; what was looked up longest ago goes. Thread-safe.
class KnownVersions {
 public:
  explicit KnownVersions(size_t most_bytes = size_t{16} << 20) : most_bytes_(most_bytes) {}

  /// The number of a look-up that begins now.
  uint64_t begin();
  /// What it said; none: there is no such version.
  void learn(const AdapterName& name, uint64_t version, uint64_t look_up, const std::optional<StoredVersion>& said);
  /// All versions of it are gone, whatever look-ups say that have begun.
  void forget(const AdapterName& name);
  std::optional<StoredVersion> find(const AdapterName& name, uint64_t version) const;

 private:
  using Key = std::pair<AdapterName, uint64_t>;
  struct Said {
    uint64_t look_up = 0;
    std::optional<StoredVersion> what;
  };
  static size_t bytes_of(const Key& key, const Said& said);
  void set(const Key& key, Said& place, Said said);
  void count(const Key& key, const Said& said, bool there);

  size_t most_bytes_;
  mutable std::mutex mutex_;  // of what follows
  std::map<Key, Said> said_;
  std::set<std::pair<uint64_t, Key>> by_look_up_;
  size_t bytes_ = 0;
  uint64_t look_ups_ = 0;
};

}  // namespace loraxs
