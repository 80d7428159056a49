#include "train/event_file.h"

#include <array>
#include <bit>
#include <cstring>

namespace loraxs {
namespace {

constexpr std::array<uint32_t, 256> crc_table() {
  constexpr uint32_t kPolynomial = 0x82F63B78;  // Castagnoli, bits reversed
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[byte] = crc;
  }
  return table;
}

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7F) | 0x80);
  return bytes + static_cast<char>(value);
}

// Protobuf wire types: 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes.
std::string field(uint32_t number, uint32_t wire_type, const std::string& payload) {
  return varint(number << 3 | wire_type) + payload;
}
std::string text_field(uint32_t number, const std::string& text) {
  return field(number, 2, varint(text.size()) + text);
}

uint32_t masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xA282EAD8U; }

std::string record(const std::string& event) {
  const std::string length = little_endian<uint64_t>(event.size());
  return length + little_endian(masked(crc32c(length))) + event + little_endian(masked(crc32c(event)));
}

std::string event_start(double wall_time) { return field(1, 1, little_endian(wall_time)); }

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = crc_table();
  uint32_t crc = ~0U;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

std::string event_file_header(double wall_time) {
  return record(event_start(wall_time) + text_field(3, "brain.Event:2"));
}

std::string scalar_event(double wall_time, int64_t step, const std::string& tag, float value) {
  const std::string scalar = text_field(1, tag) + field(2, 5, little_endian(value));  // Summary.Value
  return record(event_start(wall_time) + field(2, 0, varint(static_cast<uint64_t>(step))) +
                text_field(5, text_field(1, scalar)));
}

}  // namespace loraxs
