// Adapter files: metadata that is accepted has a positive scale and finite fingerprints, and its basis reads back.
#include <cmath>
#include <cstdlib>
#include <span>

#include "adapt/adapter_header.h"
#include "io/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loraxs;
  try {
    Safetensors file = parse_safetensors(std::span(reinterpret_cast<const std::byte*>(data), size), "a.safetensors");
    const AdapterHeader header = read_adapter_header(file);
    if (!(header.alpha > 0) || !std::isfinite(header.alpha) || header.method.empty()) std::abort();
    for (const double value : header.fingerprint) {
      if (!std::isfinite(value)) std::abort();
    }
    if (header.basis_id.empty()) return 0;
    file.metadata["basis"] = basis_recipe_to_json(header.basis).dump();
    if (!(read_adapter_header(file).basis == header.basis)) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
