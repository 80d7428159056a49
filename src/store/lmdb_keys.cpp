#include "store/lmdb_keys.h"

#include "io/error.h"

namespace loraxs {
namespace {

constexpr std::size_t kVersionBytes = 8;

}  // namespace

std::string adapter_key(const AdapterName& name) {
  if (!is_adapter_name(name)) check_adapter_name(name, "store");
  std::string key;
  key.reserve(name.tenant.size() + 2 + name.name.size() + kVersionBytes);
  return key.append(name.tenant).append(1, '\0').append(name.name);
}

std::string list_prefix(const std::string& tenant, const std::string& prefix) {
  check_adapter_name({.tenant = tenant, .name = prefix.empty() ? "a" : prefix}, "store");
  return tenant + '\0' + prefix;
}

std::string history_prefix(const AdapterName& name) { return adapter_key(name) + '\0'; }

std::string history_key(const AdapterName& name, std::uint64_t version) {
  std::string key = history_prefix(name);
  for (std::size_t i = 0; i < kVersionBytes; ++i) key += static_cast<char>(~version >> (8 * (kVersionBytes - 1 - i)));
  return key;
}

std::uint64_t version_of_key(std::string_view history_key) {
  if (history_key.size() < kVersionBytes) return 0;
  std::uint64_t inverted = 0;
  for (const char byte : history_key.substr(history_key.size() - kVersionBytes)) {
    inverted = (inverted << 8) | static_cast<unsigned char>(byte);
  }
  return ~inverted;
}

std::string shared_key(SharedKind kind, const Digest& digest) {
  return std::string(1, static_cast<char>(kind)).append(reinterpret_cast<const char*>(digest.data()), digest.size());
}

AdapterName name_of_key(std::string_view key, const std::string& where) {
  const std::size_t zero = key.find('\0');
  AdapterName name{.tenant = std::string(key.substr(0, zero))};
  if (zero != std::string_view::npos) name.name = key.substr(zero + 1);
  if (is_adapter_name(name)) return name;
  throw Error(concat(where, ": damaged: a key is no name, ", shown_key(key), "; put a backup in the store's place"));
}

AdapterName name_of_history_key(std::string_view key, const std::string& where) {
  return name_of_key(key.substr(0, key.size() - std::min(key.size(), kVersionBytes + 1)), where);
}

std::string shown_key(std::string_view key) {
  std::string shown(key);
  if (const std::size_t zero = shown.find('\0'); zero != std::string::npos) shown[zero] = '/';
  constexpr std::size_t kShown = 100;
  return shortened(shown, kShown);
}

}  // namespace loraxs
