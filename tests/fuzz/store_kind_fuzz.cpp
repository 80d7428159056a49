// Kinds of a store: what is accepted is spelt in the one way that its name stands for.
#include <cstdlib>

#include "io/error.h"
#include "store/shared_object.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loraxs;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    if (kind_text(parse_kind(text, "kind")) != text) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
