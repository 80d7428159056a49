// store/lmdb_keys.h: the keys of the tables, in whose order adapters of a tenant, and versions of an adapter, follow.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "store/reference.h"
#include "store/shared_object.h"

namespace loraxs {

/// tenant 0 name. Throws Error for a name that is none.
std::string adapter_key(const AdapterName& name);
/// Where the names of a tenant that begin with `prefix` stand.
std::string list_prefix(const std::string& tenant, const std::string& prefix);
/// tenant 0 name 0, behind which stands ~version, big-endian: the newest comes first.
std::string history_prefix(const AdapterName& name);
std::string history_key(const AdapterName& name, std::uint64_t version);
std::uint64_t version_of_key(std::string_view history_key);  // 0 where it is none
std::string shared_key(SharedKind kind, const Digest& digest);

/// Throw Error, which `where` starts, where the key is none: damaged.
AdapterName name_of_key(std::string_view key, const std::string& where);
AdapterName name_of_history_key(std::string_view key, const std::string& where);
std::string shown_key(std::string_view key);

}  // namespace loraxs
