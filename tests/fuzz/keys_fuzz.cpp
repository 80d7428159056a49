// A keys file: what is accepted is written and read again as the same keys, each with a right, a tenant and a digest.
#include <cstdlib>
#include <string_view>

#include "io/error.h"
#include "serve/keys.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loraxs;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (is_key(text) && (size != 47 || text.find('\0') != std::string_view::npos)) std::abort();
  try {
    const std::vector<KeyEntry> keys = parse_keys(text, "keys.json");
    for (const KeyEntry& key : keys) {
      if (key.rights.empty() || key.tenant.empty() || key.id.empty() || key.sha256.size() != 64) std::abort();
      if (key.quotas.streams < 0 || key.created < 0 || key.revoked < 0) std::abort();
    }
    if (parse_keys(keys_text(keys), "keys.json") != keys) std::abort();
  } catch (const Error& error) {
    if (std::string_view(error.what()).size() > kMessageBytes) std::abort();
  }
  return 0;
}
