// serve/keys.h: the keys file: who may ask a server, for what and how much. Keys themselves are nowhere in it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "serve/gate.h"

namespace loraxs {

/// Of a tenant; 0: no bound.
struct KeyQuotas {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;  // of prompts and answers
  int64_t bytes_per_minute = 0;   // of requests' bodies
  int64_t streams = 0;            // answers under way at a time
  int64_t adapters = 0;           // different ones that requests use at a time, and that are kept in memory
  bool operator==(const KeyQuotas&) const = default;
};

struct KeyEntry {
  std::string id;      // "key-3f9a51c0d2e7": names it in lists and when it is revoked
  std::string sha256;  // of the key, as lower-case hexadecimal text
  std::string tenant;
  std::vector<Right> rights;  // at least one, none twice
  KeyQuotas quotas;
  int64_t priority = 0;  // higher goes first
  int64_t created = 0;   // seconds since 1970
  int64_t revoked = 0;   // seconds since 1970; 0: it counts
  bool operator==(const KeyEntry&) const = default;
};

/// "infer", "manage", "operate". Throws Error, which `where` starts, for another name.
Right right_of(const std::string& name, const std::string& where);
const char* right_name(Right right);

/// The entries of a keys file's text: {"version": 1, "keys": [{…}]}. Throws Error, which `where` starts, for what has
/// another form, for an id or a digest that stands twice, and for fields that are not known.
std::vector<KeyEntry> parse_keys(std::string_view text, const std::string& where);
std::string keys_text(const std::vector<KeyEntry>& keys);

/// Reads a keys file. Throws Error; so it does where others than the owner may read or write it.
std::vector<KeyEntry> read_keys(const std::filesystem::path& path);

struct NewKey {
  std::string key;  // "lxs_" and 32 random bytes in base64url: shown once, kept nowhere
  KeyEntry entry;
};
/// Adds a key to a file, which is made if it is not there: mode 0600, whole or as it was at any moment, one writer at a
/// time. `entry`: without id and digest. Throws Error.
NewKey create_key(const std::filesystem::path& path, KeyEntry entry);
/// Marks a key as revoked. Throws Error where there is none of this id, or it was revoked before.
KeyEntry revoke_key(const std::filesystem::path& path, const std::string& id, int64_t now);

/// Whether a text has a key's form.
[[nodiscard]] bool is_key(std::string_view text);

}  // namespace loraxs
