#include "serve/keys.h"

#include <openssl/rand.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <set>

#include "io/error.h"
#include "io/fields.h"
#include "io/input_file.h"
#include "io/json.h"
#include "io/private_file.h"
#include "io/sha256.h"
#include "store/reference.h"
#include "store/write_lock.h"

namespace loraxs {
namespace {

constexpr std::string_view kKeyMark = "lxs_";
constexpr std::string_view kBase64Url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kKeyBytes = 32, kKeyCharacters = 43;  // 43: base64 of 32 bytes without its padding
constexpr std::size_t kDigestCharacters = 64, kIdBytes = 6, kMostIdCharacters = 64;
constexpr std::size_t kMostFileBytes = std::size_t{32} << 20;  // 70,000 keys
constexpr JsonLimits kKeysLimits = {.depth = 8, .bytes = kMostFileBytes, .keys = 100, .unique_keys = true};
constexpr int64_t kMostQuota = int64_t{1} << 50;
constexpr int64_t kMostPriority = 1000;

struct RightRow {
  const char* name;
  Right right;
};
constexpr RightRow kRights[] = {{"infer", Right::kInfer}, {"manage", Right::kManage}, {"operate", Right::kOperate}};

struct QuotaRow {
  const char* name;
  int64_t KeyQuotas::*value;
};
constexpr QuotaRow kQuotas[] = {{"requests_per_minute", &KeyQuotas::requests_per_minute},
                                {"tokens_per_minute", &KeyQuotas::tokens_per_minute},
                                {"bytes_per_minute", &KeyQuotas::bytes_per_minute},
                                {"streams", &KeyQuotas::streams},
                                {"adapters", &KeyQuotas::adapters}};

std::string base64url(std::span<const unsigned char> bytes) {
  constexpr unsigned kByteBits = 8, kDigitBits = 6;
  std::string out;
  out.reserve(kKeyCharacters);
  unsigned pending = 0, bits = 0;
  for (const unsigned char byte : bytes) {
    pending = (pending << kByteBits) | byte;
    bits += kByteBits;
    while (bits >= kDigitBits) {
      bits -= kDigitBits;
      out += kBase64Url[(pending >> bits) % kBase64Url.size()];
    }
    pending &= (1U << bits) - 1;
  }
  if (bits > 0) out += kBase64Url[(pending << (kDigitBits - bits)) % kBase64Url.size()];
  return out;
}

template <std::size_t N>
std::array<unsigned char, N> random_bytes() {
  std::array<unsigned char, N> bytes;
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw std::runtime_error("OpenSSL has no random bytes");
  }
  return bytes;
}

std::string fresh_key_id() {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string id = "key-";
  for (const unsigned char byte : random_bytes<kIdBytes>()) {
    id += kHex[byte / kHex.size()];
    id += kHex[byte % kHex.size()];
  }
  return id;
}

bool is_digest(const std::string& text) {
  return text.size() == kDigestCharacters && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

KeyEntry entry_of(Fields fields) {
  KeyEntry entry;
  entry.id = fields.text("id", "");
  const bool harmless = std::all_of(entry.id.begin(), entry.id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (entry.id.empty() || entry.id.size() > kMostIdCharacters || !harmless) {
    fields.fail("id", concat("expected 1 to ", kMostIdCharacters, " of a-z, 0-9 and -, found ", entry.id));
  }
  entry.sha256 = fields.text("sha256", "");
  if (!is_digest(entry.sha256)) {
    fields.fail("sha256", concat("expected 64 hexadecimal digits, found ", entry.sha256.size(), " characters"));
  }
  entry.tenant = fields.text("tenant", "");
  check_adapter_name({.tenant = entry.tenant, .name = "any"}, fields.where() + ": " + entry.id);
  for (const std::string& name : fields.strings("rights", {"infer"})) {
    const Right right = right_of(name, fields.where() + ": " + entry.id);
    if (std::find(entry.rights.begin(), entry.rights.end(), right) != entry.rights.end()) {
      fields.fail("rights", concat("expected ", name, " once, found it twice"));
    }
    entry.rights.push_back(right);
  }
  Fields quotas = fields.object("quotas");
  for (const QuotaRow& row : kQuotas) entry.quotas.*row.value = quotas.non_negative_int(row.name, 0, kMostQuota);
  quotas.finish();
  entry.priority = fields.integer("priority", 0);
  if (entry.priority < -kMostPriority || entry.priority > kMostPriority) {
    fields.fail("priority", concat("expected -", kMostPriority, " to ", kMostPriority, ", found ", entry.priority));
  }
  entry.created = fields.non_negative_int("created", 0);
  entry.revoked = fields.non_negative_int("revoked", 0);
  fields.finish();
  return entry;
}

void write_keys(const std::filesystem::path& path, const std::vector<KeyEntry>& keys) {
  write_private_file(path, keys_text(keys));
}

/// Held while a file is read, changed and written.
WriteLock lock_of(const std::filesystem::path& path) { return {path.string() + ".lock", "key"}; }

}  // namespace

Right right_of(const std::string& name, const std::string& where) {
  for (const RightRow& row : kRights) {
    if (name == row.name) return row.right;
  }
  throw Error(concat(where, ": rights: expected infer, manage or operate, found ", name));
}

const char* right_name(Right right) {
  for (const RightRow& row : kRights) {
    if (row.right == right) return row.name;
  }
  return "";
}

bool is_key(std::string_view text) {
  return text.size() == kKeyMark.size() + kKeyCharacters && text.starts_with(kKeyMark) &&
         text.find_first_not_of(kBase64Url, kKeyMark.size()) == std::string_view::npos;
}

std::vector<KeyEntry> parse_keys(std::string_view text, const std::string& where) {
  Fields file(parse_json(text, where, kKeysLimits), where);
  constexpr int64_t kVersion = 1;
  if (const int64_t version = file.integer("version", 0); version != kVersion) {
    file.fail("version", concat("expected ", kVersion, ", found ", version, "; another loraxs wrote it"));
  }
  const nlohmann::json list = file.raw("keys");
  if (!list.is_array()) file.fail("keys", "expected a list");
  file.finish();
  std::vector<KeyEntry> keys;
  keys.reserve(list.size());
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_object()) throw Error(concat(where, ": keys[", i, "]: expected an object"));
    keys.push_back(entry_of(Fields(list[i], where, concat("keys[", i, "]"))));
    for (const std::string* each : {&keys.back().id, &keys.back().sha256}) {
      if (!seen.insert(*each).second) throw Error(concat(where, ": keys[", i, "]: expected ", *each, " once"));
    }
  }
  return keys;
}

std::string keys_text(const std::vector<KeyEntry>& keys) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const KeyEntry& key : keys) {
    nlohmann::ordered_json rights = nlohmann::ordered_json::array(), quotas = nlohmann::ordered_json::object();
    for (const Right right : key.rights) rights.push_back(right_name(right));
    for (const QuotaRow& row : kQuotas) quotas[row.name] = key.quotas.*row.value;
    list.push_back({{"id", key.id},
                    {"sha256", key.sha256},
                    {"tenant", key.tenant},
                    {"rights", rights},
                    {"quotas", quotas},
                    {"priority", key.priority},
                    {"created", key.created},
                    {"revoked", key.revoked}});
  }
  return json_text(nlohmann::ordered_json{{"version", 1}, {"keys", list}}, 1) + "\n";
}

std::vector<KeyEntry> read_keys(const std::filesystem::path& path) {
  if (std::error_code ignored; !std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
    throw Error(concat(path.string(), ": expected a file of keys, found none; loraxs key create ", path.string(),
                       " --tenant NAME makes it"));
  }
  const InputFile file(path);
  struct stat status {};
  constexpr unsigned kOfOthers = 077, kAllBits = 07777;
  if (::fstat(file.descriptor(), &status) == 0 && (status.st_mode & kOfOthers) != 0) {
    std::ostringstream mode;
    mode << std::oct << (status.st_mode & kAllBits);
    throw Error(concat(path.string(), ": expected mode 600, found ", mode.str(),
                       ": others may read or change who asks; chmod 600 ", path.string()));
  }
  if (file.size() > kMostFileBytes) {
    throw Error(concat(path.string(), ": expected at most ", kMostFileBytes, " bytes, found ", file.size()));
  }
  std::string text(file.size(), '\0');
  file.read(std::as_writable_bytes(std::span(text)));
  return parse_keys(text, path.string());
}

NewKey create_key(const std::filesystem::path& path, KeyEntry entry) {
  const WriteLock lock = lock_of(path);
  std::vector<KeyEntry> keys;
  if (std::error_code ignored; std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
    keys = read_keys(path);
  }
  NewKey made{.key = std::string(kKeyMark) + base64url(random_bytes<kKeyBytes>()), .entry = std::move(entry)};
  made.entry.id = fresh_key_id();
  made.entry.sha256 = sha256_hex(made.key);
  keys.push_back(made.entry);
  parse_keys(keys_text(keys), path.string());  // what would not be read is not written
  write_keys(path, keys);
  return made;
}

KeyEntry revoke_key(const std::filesystem::path& path, const std::string& id, int64_t now) {
  const WriteLock lock = lock_of(path);
  std::vector<KeyEntry> keys = read_keys(path);
  const auto at = std::find_if(keys.begin(), keys.end(), [&](const KeyEntry& key) { return key.id == id; });
  if (at == keys.end()) {
    throw Error(concat(path.string(), ": expected the id of a key in it, found ", id, "; loraxs key list shows them"));
  }
  if (at->revoked != 0) throw Error(concat(path.string(), ": ", id, ": expected a key that counts, found it revoked"));
  at->revoked = now;
  write_keys(path, keys);
  return *at;
}

}  // namespace loraxs
