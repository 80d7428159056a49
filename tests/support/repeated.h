// tests/support/repeated.h: long texts for what must not grow with the square of them.
#pragma once
#include <string>

namespace loraxs::test {

inline std::string repeated(const std::string& text, size_t times) {
  std::string result;
  result.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

}  // namespace loraxs::test
