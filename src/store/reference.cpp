#include "store/reference.h"

#include <algorithm>
#include <charconv>

#include "io/error.h"

namespace loraxs {
namespace {

constexpr std::string_view kLmdbScheme = "lmdb://";
constexpr std::string_view kPostgresqlScheme = "postgresql://";
constexpr std::string_view kPostgresScheme = "postgres://";  // libpq's other spelling
constexpr std::uint64_t kMostMapGb = 65'536;                 // 2^46 bytes: half of what a process can address
constexpr std::size_t kUrlBytes = 4'096;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_name_character(char c) { return is_letter_or_digit(c) || c == '.' || c == '_' || c == ':' || c == '-'; }

bool is_name(std::string_view text, std::size_t most) {
  return !text.empty() && text.size() <= most && is_letter_or_digit(text.front()) &&
         std::ranges::all_of(text, is_name_character);
}

void check_name(std::string_view text, std::size_t most, const char* what, const std::string& where) {
  if (is_name(text, most)) return;
  constexpr std::size_t kShown = 60;
  throw Error(concat(where, ": ", what, ": expected 1 to ", most,
                     " letters, digits and . _ : - with a letter or digit first, found ",
                     text.empty() ? "none" : concat("\"", shortened(text, kShown), "\""),
                     text.size() > most ? concat(" of ", text.size(), " bytes") : ""));
}

/// The number of digits alone; 0 where it is none.
std::uint64_t positive_number(std::string_view digits) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return code == std::errc() && end == digits.data() + digits.size() ? value : 0;
}

/// A password in a URL is seen by whoever lists processes, and would stand in messages.
bool has_password(const std::string& url) {
  const std::size_t host = url.find("//") + 2;
  const std::size_t at = url.find('@', host), colon = url.find(':', host), slash = url.find('/', host);
  return (at != std::string::npos && colon < at && at < slash) || url.find("password=") != std::string::npos;
}

StoreUrl parse_lmdb(const std::string& text) {
  StoreUrl url{.scheme = StoreScheme::kLmdb, .text = text};
  const std::string_view rest = std::string_view(text).substr(kLmdbScheme.size());
  const std::size_t question = rest.find('?');
  url.path = rest.substr(0, question);
  if (url.path.empty()) throw Error(concat(text, ": expected lmdb:// and a folder, as lmdb:///data/store, found none"));
  if (url.path.find('\0') != std::string::npos) throw Error(concat(text, ": expected a path, found a zero byte in it"));
  while (url.path.size() > 1 && url.path.ends_with('/')) url.path.pop_back();
  if (question == std::string_view::npos) return url;
  constexpr std::string_view kMap = "map_gb=";
  const std::string_view option = rest.substr(question + 1);
  url.map_gb = option.starts_with(kMap) ? positive_number(option.substr(kMap.size())) : 0;
  if (url.map_gb == 0 || url.map_gb > kMostMapGb) {
    throw Error(concat(text, ": expected map_gb=N, 1 to ", kMostMapGb, ", after the question mark, found ", option));
  }
  return url;
}

}  // namespace

void check_adapter_name(const AdapterName& name, const std::string& where) {
  check_name(name.tenant, kTenantBytes, "tenant", where);
  check_name(name.name, kNameBytes, "name", where);
}

bool is_adapter_name(const AdapterName& name) {
  return is_name(name.tenant, kTenantBytes) && is_name(name.name, kNameBytes);
}

void check_name_prefix(const std::string& text, const std::string& where) {
  if (!text.empty()) check_name(text, kNameBytes, "name", where);
}

bool is_store_url(std::string_view text) {
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) return false;
  return std::ranges::all_of(text.substr(0, colon), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '.' ||
           c == '-';
  });
}

StoreUrl parse_store_url(const std::string& text) {
  if (text.size() > kUrlBytes) {
    throw Error(concat("store: expected a URL of at most ", kUrlBytes, " bytes, found ", text.size()));
  }
  if (text.starts_with(kLmdbScheme)) return parse_lmdb(text);
  if (text.starts_with(kPostgresqlScheme) || text.starts_with(kPostgresScheme)) {
    if (text.find('\0') != std::string::npos) throw Error(concat(text, ": expected a URL, found a zero byte in it"));
    if (has_password(text)) {
      throw Error("postgresql URL: expected no password in it, found one; PGPASSWORD or ~/.pgpass keep it from others");
    }
    return {.scheme = StoreScheme::kPostgresql, .text = text};
  }
  throw Error(concat(text, ": expected a store's URL, lmdb:///folder or postgresql://host/database, found ",
                     is_store_url(text) ? "the scheme " + text.substr(0, text.find(':')) : "none"));
}

StoreReference parse_store_reference(const std::string& text) {
  const std::size_t hash = text.find('#');
  StoreReference reference{.url = parse_store_url(text.substr(0, hash))};
  if (hash == std::string::npos) return reference;
  const std::string rest = text.substr(hash + 1);
  const std::string where = reference.url.text;
  const std::size_t slash = rest.find('/');
  reference.tenant = rest.substr(0, slash);
  check_name(reference.tenant, kTenantBytes, "tenant", where);
  if (slash == std::string::npos) {
    throw Error(concat(where, ": expected #tenant/name, found #", reference.tenant, " without a /"));
  }
  std::string name = rest.substr(slash + 1);
  if (const std::size_t at = name.rfind('@'); at != std::string::npos) {
    reference.version = positive_number(std::string_view(name).substr(at + 1));
    if (reference.version == 0) {
      throw Error(concat(where, ": version: expected a number from 1 on after the @, found \"",
                         shortened(name.substr(at + 1), 40), "\""));
    }
    name.resize(at);
    check_name(name, kNameBytes, "name", where);
  }
  if (name.ends_with('*')) {
    reference.many = true;
    name.pop_back();
  }
  check_name_prefix(name, where);
  reference.name = std::move(name);
  if (reference.many && reference.version > 0) throw Error(concat(where, ": version: expected one name before the @"));
  return reference;
}

AdapterName StoreReference::adapter() const {
  if (tenant.empty() || name.empty() || many) {
    throw Error(concat(url.text, ": expected one adapter, #tenant/name, found ",
                       tenant.empty() ? "none" : concat("#", tenant, "/", name, many ? "*" : "")));
  }
  return {.tenant = tenant, .name = name};
}

void StoreReference::refuse_version() const {
  if (version == 0) return;
  throw Error(concat(url.text, "#", tenant, "/", name, ": version: expected none, as what is written gets the next ",
                     "number, found @", version));
}

std::string shown_reference(const StoreUrl& url, const AdapterName& name, std::uint64_t version) {
  return concat(url.text, "#", name.tenant, "/", name.name, version > 0 ? concat("@", version) : "");
}

}  // namespace loraxs
