// References into a store: what is accepted names adapters by letters that are no path, and reads back as itself.
#include <cstdlib>

#include "io/error.h"
#include "store/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loraxs;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const StoreReference reference = parse_store_reference(text);
    if (!is_store_url(text)) std::abort();
    if (reference.tenant.empty() || reference.name.empty() || reference.many) return 0;
    const AdapterName name = reference.adapter();
    if (!is_adapter_name(name) || name.name.find('/') != std::string::npos) std::abort();
    const StoreReference again = parse_store_reference(shown_reference(reference.url, name, reference.version));
    if (again.adapter() != name || again.version != reference.version || again.url.text != reference.url.text)
      std::abort();
  } catch (const Error&) {
  }
  return 0;
}
