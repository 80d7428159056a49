#include "serve/known_versions.h"

namespace loraxs {

uint64_t KnownVersions::begin() {
  const std::lock_guard lock(mutex_);
  return ++look_ups_;
}

void KnownVersions::learn(const AdapterName& name, uint64_t version, uint64_t look_up,
                          const std::optional<StoredVersion>& said) {
  const std::lock_guard lock(mutex_);
  const Key key(name, version);
  const auto at = said_.find(key);
  if (at == said_.end() ? !said : at->second.look_up > look_up) return;
  set(key, said_[key], {.look_up = look_up, .what = said});
  while (bytes_ > most_bytes_) {
    const auto oldest = said_.find(by_look_up_.begin()->second);
    count(oldest->first, oldest->second, /*there=*/false);
    said_.erase(oldest);
  }
}

void KnownVersions::forget(const AdapterName& name) {
  const std::lock_guard lock(mutex_);
  const uint64_t now = ++look_ups_;
  for (auto at = said_.lower_bound({name, 0}); at != said_.end() && at->first.first == name; ++at) {
    set(at->first, at->second, {.look_up = now});
  }
}

std::optional<StoredVersion> KnownVersions::find(const AdapterName& name, uint64_t version) const {
  const std::lock_guard lock(mutex_);
  const auto at = said_.find({name, version});
  return at == said_.end() ? std::nullopt : at->second.what;
}

size_t KnownVersions::bytes_of(const Key& key, const Said& said) {
  const size_t names = key.first.tenant.size() + key.first.name.size();
  return 2 * (sizeof(Key) + names) + sizeof(Said) + (said.what ? names + said.what->tail.size() : 0);
}

// With the mutex, as count().
void KnownVersions::set(const Key& key, Said& place, Said said) {
  count(key, place, /*there=*/false);
  place = std::move(said);
  count(key, place, /*there=*/true);
}

/// Its bytes and its place in time, while it is there.
void KnownVersions::count(const Key& key, const Said& said, bool there) {
  if (there) {
    bytes_ += bytes_of(key, said);
    by_look_up_.emplace(said.look_up, key);
  } else if (by_look_up_.erase({said.look_up, key}) > 0) {
    bytes_ -= bytes_of(key, said);
  }
}

}  // namespace loraxs
