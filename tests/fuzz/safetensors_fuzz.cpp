// Containers: what is accepted has views inside the bytes, and writes and reads back as the same tensors.
#include <cstdlib>
#include <span>

#include "io/error.h"
#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    const loraxs::Safetensors file = loraxs::parse_safetensors(bytes, "f");
    std::map<std::string, loraxs::TensorBytes> tensors;
    for (const auto& [name, view] : file.tensors) {
      if (!view.bytes.empty() &&
          (view.bytes.data() < bytes.data() || view.bytes.data() + view.bytes.size() > bytes.data() + bytes.size())) {
        std::abort();
      }
      tensors[name] = {.dtype = view.dtype, .shape = view.shape, .bytes = view.bytes};
    }
    const auto written = loraxs::serialize_safetensors(tensors, file.metadata);
    const loraxs::Safetensors again = loraxs::parse_safetensors(written, "f");
    if (again.metadata != file.metadata || again.tensors.size() != file.tensors.size()) std::abort();
    for (const auto& [name, view] : again.tensors) {
      const auto& first = file.tensors.at(name);
      if (view.shape != first.shape || view.dtype != first.dtype ||
          !std::equal(view.bytes.begin(), view.bytes.end(), first.bytes.begin(), first.bytes.end())) {
        std::abort();
      }
    }
  } catch (const loraxs::Error&) {
  }
  return 0;
}
