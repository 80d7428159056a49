// store/lmdb_state.h: what an LMDB store says of itself, so that damaged pages that hide entries are noticed: LMDB 0.9
// has no checksums.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "store/lmdb_environment.h"

namespace loraxs {

/// Throws Error: WHERE is damaged.
[[noreturn]] void fail_torn(const std::string& where, const std::string& what);

/// What the newest transaction left: it must be what LMDB's newest head leads to.
struct StoreState {
  std::uint64_t transaction = 0, adapters = 0, versions = 0, checksum = 0;
};
/// Throw Error where the state is not there or damaged; check_state also where it is another transaction's, or counts
/// other rows than there are.
StoreState state_of(const LmdbTransaction& transaction);
void check_state(const LmdbTransaction& transaction);
/// Of the table `state`: the state's own, and no name's.
bool is_state_key(std::string_view key);
/// As that of this transaction.
void put_state(LmdbTransaction& transaction, StoreState state);

/// The record of a name: the version of its newest row, or the highest that was deleted, and a checksum of both.
using NameRecord = std::array<std::byte, sizeof(std::uint64_t) + sizeof(std::uint32_t)>;
NameRecord name_record(std::string_view key, std::uint64_t version);
/// That version. Throws Error, which `where` starts, where the record is damaged.
std::uint64_t version_in(std::span<const std::byte> record, std::string_view key, const std::string& where);

}  // namespace loraxs
