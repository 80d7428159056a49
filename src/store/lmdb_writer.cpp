#include "store/lmdb_writer.h"

#include <algorithm>

#include "io/error.h"
#include "store/lmdb_keys.h"

namespace loraxs {

LmdbWriter::LmdbWriter(LmdbTransaction& transaction, const StoreUrl& url)
    : transaction_(transaction), url_(url), state_(state_of(transaction)) {
  LmdbCursor cursor(transaction, LmdbTable::kRows);
  if (cursor.last()) last_key_ = cursor.key();
}

std::optional<RowValue> LmdbWriter::find(const AdapterName& name, std::uint64_t version) {
  const std::string key = adapter_key(name);
  const RowPlace place{url_, name, version};
  const std::uint64_t newest = newest_version(key);
  if (newest == 0) return std::nullopt;
  if (version != 0 && version != newest) {
    const auto old = transaction_.find(LmdbTable::kHistory, history_key(name, version));
    return old ? std::optional(decode_row_value(*old, place)) : std::nullopt;
  }
  const auto found = transaction_.find(LmdbTable::kRows, key);
  try {
    if (found) return decode_row_value(*found, place);
  } catch (const Error&) {
    if (version != 0) throw;
  }
  return RowValue{.header = {.version = newest}};  // damaged: equal to nothing, so that another put heals it
}

std::vector<std::uint64_t> LmdbWriter::versions(const AdapterName& name) {
  std::vector<std::uint64_t> found;
  if (const std::uint64_t newest = newest_version(adapter_key(name)); newest > 0) found.push_back(newest);
  const std::string prefix = history_prefix(name);
  LmdbCursor cursor(transaction_, LmdbTable::kHistory);
  for (bool more = cursor.seek(prefix); more && cursor.key().starts_with(prefix); more = cursor.next()) {
    found.push_back(version_of_key(cursor.key()));
  }
  return found;
}

std::uint64_t LmdbWriter::last_number(const AdapterName& name) {
  const std::string key = adapter_key(name);
  return std::max(newest_version(key), kept_number(key));
}

void LmdbWriter::keep_number(const AdapterName& name, std::uint64_t version) {
  const std::string key = adapter_key(name);
  if (kept_number(key) >= version) return;
  changed_ = true;
  transaction_.put(LmdbTable::kState, key, name_record(key, version));
}

void LmdbWriter::add(const AdapterName& name, const RowHeader& header, std::span<const std::byte> value) {
  changed_ = true;
  const std::string key = adapter_key(name);
  const bool behind_all = key > last_key_;
  const auto old = behind_all ? std::nullopt : transaction_.find(LmdbTable::kRows, key);
  if (old) {
    const std::vector<std::byte> kept(old->begin(), old->end());  // the view may move when something is put
    if (is_whole(kept, name)) {
      transaction_.put(LmdbTable::kHistory, history_key(name, newest_version(key)), kept);
    } else {
      --state_.versions;
    }
  } else {
    ++state_.adapters;
  }
  ++state_.versions;
  // Behind all others: pages are filled whole, and not split in halves.
  const unsigned flags = behind_all ? unsigned{MDB_APPEND} : 0U;
  transaction_.put(LmdbTable::kRows, key, value, flags);
  transaction_.put(LmdbTable::kNames, key, name_record(key, header.version), flags);
  if (behind_all) last_key_ = key;
}

void LmdbWriter::erase(const AdapterName& name, std::uint64_t version) {
  changed_ = true;
  const std::string key = adapter_key(name);
  --state_.versions;
  if (version != newest_version(key)) {
    transaction_.erase(LmdbTable::kHistory, history_key(name, version));
    return;
  }
  // The one before it becomes the newest.
  const std::string prefix = history_prefix(name);
  std::string older;
  std::vector<std::byte> value;
  {
    LmdbCursor cursor(transaction_, LmdbTable::kHistory);
    if (cursor.seek(prefix) && cursor.key().starts_with(prefix)) {
      older = cursor.key();
      value.assign(cursor.value().begin(), cursor.value().end());
    }
  }
  last_key_ = std::max(last_key_, key);  // what is behind all others is asked of the table no more
  if (older.empty()) {
    --state_.adapters;
    transaction_.erase(LmdbTable::kRows, key);
    transaction_.erase(LmdbTable::kNames, key);
    return;
  }
  transaction_.erase(LmdbTable::kHistory, older);
  transaction_.put(LmdbTable::kRows, key, value);
  transaction_.put(LmdbTable::kNames, key, name_record(key, version_of_key(older)));
}

void LmdbWriter::add_shared(SharedKind kind, const Digest& digest, std::string_view bytes) {
  const std::string key = shared_key(kind, digest);
  if (transaction_.find(LmdbTable::kShared, key)) return;
  changed_ = true;
  transaction_.put(LmdbTable::kShared, key, std::as_bytes(std::span(bytes)));
}

std::uint64_t LmdbWriter::newest_version(const std::string& key) const {
  if (key > last_key_) return 0;
  const auto record = transaction_.find(LmdbTable::kNames, key);
  return record ? version_in(*record, key, url_.text) : 0;
}

std::uint64_t LmdbWriter::kept_number(const std::string& key) const {
  const auto record = transaction_.find(LmdbTable::kState, key);
  return record ? version_in(*record, key, url_.text) : 0;
}

bool LmdbWriter::is_whole(std::span<const std::byte> value, const AdapterName& name) const {
  try {
    decode_row_value(value, {url_, name});
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace loraxs
