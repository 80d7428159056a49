// store/little_endian.h: numbers among bytes. The machine is little-endian, as the formats are: LibTorch runs on no
// other.
#pragma once
#include <cstddef>
#include <cstring>
#include <span>

namespace loraxs {

template <typename Number>
Number number_at(std::span<const std::byte> bytes, std::size_t at) {
  Number number;
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

template <typename Number>
void put_number(std::span<std::byte> bytes, std::size_t at, Number number) {
  std::memcpy(bytes.data() + at, &number, sizeof number);
}

}  // namespace loraxs
