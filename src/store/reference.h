// store/reference.h: how a store, a tenant and an adapter in it are named: lmdb:///data/store#anna/support@3.
#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace loraxs {

/// An adapter of a store. Both match [A-Za-z0-9][A-Za-z0-9._:-]*, so neither is ever a path.
struct AdapterName {
  std::string tenant;  // at most kTenantBytes
  std::string name;    // at most kNameBytes
  auto operator<=>(const AdapterName&) const = default;
};
inline constexpr std::size_t kTenantBytes = 64;
inline constexpr std::size_t kNameBytes = 128;

/// Throws Error, which `where` starts, for a tenant or name that is empty, too long or has other characters.
void check_adapter_name(const AdapterName& name, const std::string& where);
bool is_adapter_name(const AdapterName& name);
/// Throws Error where `text` cannot begin a name: the same characters, and it may be empty.
void check_name_prefix(const std::string& text, const std::string& where);

enum class StoreScheme { kLmdb, kPostgresql };

struct StoreUrl {
  StoreScheme scheme = StoreScheme::kLmdb;
  std::string text;          // as given, without the adapter
  std::string path;          // lmdb: the store's folder
  std::uint64_t map_gb = 0;  // lmdb: address space in GiB; 0 = kMapGb
};
inline constexpr std::uint64_t kMapGb = 1024;

/// Whether a text is a store's URL and not a path: it begins with SCHEME://.
bool is_store_url(std::string_view text);

/// lmdb:///folder (lmdb://folder: below the working folder) [?map_gb=N], or postgresql://…, nothing behind it. Throws
/// Error.
StoreUrl parse_store_url(const std::string& text);

/// URL, URL#tenant/, URL#tenant/name, URL#tenant/name@version, or URL#tenant/begin* for all names that begin so.
struct StoreReference {
  StoreUrl url;
  std::string tenant;         // empty: all of the store
  std::string name;           // empty: all of the tenant
  std::uint64_t version = 0;  // 0 = the newest
  bool many = false;          // `name` ends with *, which is left out

  /// Throws Error unless it names one adapter.
  AdapterName adapter() const;
  /// Throws Error where it has a version: what is written gets the next.
  void refuse_version() const;
};
/// Throws Error.
StoreReference parse_store_reference(const std::string& text);

/// URL#tenant/name[@version] for messages and lists.
std::string shown_reference(const StoreUrl& url, const AdapterName& name, std::uint64_t version = 0);

}  // namespace loraxs
