#include "store/lmdb_state.h"

#include <algorithm>
#include <cstring>

#include "io/error.h"
#include "store/lmdb_keys.h"
#include "store/xxh3.h"

namespace loraxs {
namespace {

constexpr const char* kStateKey = "state";

std::uint64_t checksum_of(const StoreState& state) { return XXH3_64bits(&state, offsetof(StoreState, checksum)); }

}  // namespace

void fail_torn(const std::string& where, const std::string& what) {
  throw Error(concat(where, ": damaged: ", what, "; put a backup in the store's place"));
}

StoreState state_of(const LmdbTransaction& transaction) {
  const std::string where = transaction.environment().folder().string();
  const auto found = transaction.find(LmdbTable::kState, kStateKey);
  StoreState state;
  if (!found || found->size() != sizeof state) fail_torn(where, "its state is not there");
  std::memcpy(&state, found->data(), sizeof state);
  if (state.checksum != checksum_of(state)) fail_torn(where, "its state has another checksum");
  return state;
}

bool is_state_key(std::string_view key) { return key == kStateKey; }

void put_state(LmdbTransaction& transaction, StoreState state) {
  state.transaction = transaction.id();
  state.checksum = checksum_of(state);
  transaction.put(LmdbTable::kState, kStateKey, std::as_bytes(std::span(&state, 1)));
}

void check_state(const LmdbTransaction& transaction) {
  const StoreState state = state_of(transaction);
  const std::string where = transaction.environment().folder().string();
  if (state.transaction != transaction.id()) {
    fail_torn(where, concat("expected the state of write ", transaction.id(), ", found that of ", state.transaction));
  }
  const std::uint64_t rows = transaction.entries(LmdbTable::kRows), names = transaction.entries(LmdbTable::kNames),
                      history = transaction.entries(LmdbTable::kHistory);
  if (rows != state.adapters || names != state.adapters || rows + history != state.versions) {
    fail_torn(where, concat("expected ", state.adapters, " adapters in ", state.versions, " versions, found ", rows,
                            " rows, ", names, " names and ", history, " older rows"));
  }
}

NameRecord name_record(std::string_view key, std::uint64_t version) {
  const auto checksum = static_cast<std::uint32_t>(XXH3_64bits_withSeed(key.data(), key.size(), version));
  NameRecord bytes;
  std::memcpy(bytes.data(), &version, sizeof version);
  std::memcpy(bytes.data() + sizeof version, &checksum, sizeof checksum);
  return bytes;
}

std::uint64_t version_in(std::span<const std::byte> record, std::string_view key, const std::string& where) {
  std::uint64_t version = 0;
  if (record.size() == sizeof(NameRecord)) std::memcpy(&version, record.data(), sizeof version);
  if (record.size() != sizeof(NameRecord) || !std::ranges::equal(record, name_record(key, version))) {
    fail_torn(where, concat("the record of ", shown_key(key), " has another checksum"));
  }
  return version;
}

}  // namespace loraxs
