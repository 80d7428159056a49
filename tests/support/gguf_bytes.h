// tests/support/gguf_bytes.h: numbers and texts as GGUF files hold them.
#pragma once
#include <cstdint>
#include <string>

namespace loraxs::test {

template <typename T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
/// A text behind its length.
inline std::string counted_text(const std::string& value) { return raw<uint64_t>(value.size()) + value; }

}  // namespace loraxs::test
