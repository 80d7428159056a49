#include "store/row_value.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "io/error.h"
#include "io/sha256.h"
#include "store/little_endian.h"
#include "store/row_numbers.h"
#include "store/xxh3.h"

namespace loraxs {
namespace {

constexpr std::string_view kMagic = "LXSROW1\n";
constexpr std::uint16_t kFormat = 1;
// Where the fields stand; the checksum covers everything behind itself.
constexpr std::size_t kChecksumAt = 8, kFormatAt = 16, kDtypeAt = 18, kFlagsAt = 19, kNumbersAt = 20, kRowBytesAt = 24,
                      kTailBytesAt = 28, kVersionAt = 32, kCreatedAt = 40, kKindAt = 48, kRowDigestAt = 80;

std::uint64_t checksum(std::span<const std::byte> value, const AdapterName& name) {
  std::array<char, kTenantBytes + 1 + kNameBytes> key;
  std::memcpy(key.data(), name.tenant.data(), name.tenant.size());
  key[name.tenant.size()] = '\0';
  std::memcpy(key.data() + name.tenant.size() + 1, name.name.data(), name.name.size());
  const std::uint64_t seed = XXH3_64bits(key.data(), name.tenant.size() + 1 + name.name.size());
  return XXH3_64bits_withSeed(value.data() + kFormatAt, value.size() - kFormatAt, seed);
}

[[noreturn]] void fail_damaged(const RowPlace& place, const std::string& what) {
  throw Error(concat(place.text(), ": damaged: ", what,
                     "; the store's disk or a program wrote over it: loraxs store verify ",
                     "lists what is damaged, a backup or another put brings it back"));
}

}  // namespace

Digest digest_of_bytes(std::span<const std::byte> bytes) { return digest_from_hex(sha256_hex(bytes), "sha256"); }

std::string digest_hex(const Digest& digest) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * digest.size());
  for (const std::byte byte : digest) {
    hex += kDigits[std::to_integer<std::size_t>(byte >> 4)];
    hex += kDigits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  return hex;
}

Digest digest_from_hex(std::string_view hex, const std::string& where) {
  Digest digest;
  const auto fail = [&] {
    throw Error(concat(where, ": expected a SHA-256 of 64 hexadecimal digits, found \"", shortened(hex, 70), "\""));
  };
  if (hex.size() != 2 * digest.size()) fail();
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const char c = hex[i];
    const bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
    if (!digit && !letter) fail();
    const auto value = static_cast<std::byte>(digit ? c - '0' : c - 'a' + 10);
    digest[i / 2] = i % 2 == 0 ? value << 4 : digest[i / 2] | value;
  }
  return digest;
}

std::vector<std::byte> encode_row_value(const AdapterName& name, const RowValue& value, const std::string& where) {
  check_adapter_name(name, where);
  if (value.row.size() > kRowBytes) {
    throw Error(concat(where, ": expected a row of at most ", kRowBytes, " bytes, found ", value.row.size()));
  }
  if (value.tail.size() > kTailBytes) {
    throw Error(
        concat(where, ": expected labels and history of at most ", kTailBytes, " bytes, found ", value.tail.size()));
  }
  check_row_form(value.header.dtype, value.header.numbers, value.row, where);
  std::vector<std::byte> bytes(kRowHeaderBytes + value.row.size() + value.tail.size());
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  put_number(bytes, kFormatAt, kFormat);
  put_number(bytes, kDtypeAt, static_cast<std::uint8_t>(value.header.dtype));
  put_number(bytes, kFlagsAt, std::uint8_t{0});
  put_number(bytes, kNumbersAt, value.header.numbers);
  put_number(bytes, kRowBytesAt, static_cast<std::uint32_t>(value.row.size()));
  put_number(bytes, kTailBytesAt, static_cast<std::uint32_t>(value.tail.size()));
  put_number(bytes, kVersionAt, value.header.version);
  put_number(bytes, kCreatedAt, value.header.created);
  std::memcpy(bytes.data() + kKindAt, value.header.kind.data(), value.header.kind.size());
  std::memcpy(bytes.data() + kRowDigestAt, value.header.row_digest.data(), value.header.row_digest.size());
  const auto row = bytes.begin() + kRowHeaderBytes;
  const auto tail = std::ranges::copy(value.row, row).out;
  std::ranges::copy(std::as_bytes(std::span(value.tail)), tail);
  seal_row_value(bytes, name);
  return bytes;
}

void seal_row_value(std::span<std::byte> bytes, const AdapterName& name) {
  if (bytes.size() >= kRowHeaderBytes) put_number(bytes, kChecksumAt, checksum(bytes, name));
}

RowValue decode_row_value(std::span<const std::byte> bytes, const RowPlace& place) {
  if (bytes.size() < kRowHeaderBytes) {
    fail_damaged(place, concat("expected at least ", kRowHeaderBytes, " bytes, found ", bytes.size()));
  }
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    fail_damaged(place, "expected a value that begins with LXSROW1, found another beginning");
  }
  const std::uint64_t row = number_at<std::uint32_t>(bytes, kRowBytesAt),
                      tail = number_at<std::uint32_t>(bytes, kTailBytesAt);
  // Before any byte behind the header is touched: the checksum says more, but reads them all.
  if (kRowHeaderBytes + row + tail != bytes.size()) {
    fail_damaged(place, concat("expected a row of ", row, " and a tail of ", tail, " bytes, found ",
                               bytes.size() - kRowHeaderBytes, " together"));
  }
  if (!is_adapter_name(place.name) || number_at<std::uint64_t>(bytes, kChecksumAt) != checksum(bytes, place.name)) {
    fail_damaged(place, "its checksum (XXH3) is another");
  }
  const auto format = number_at<std::uint16_t>(bytes, kFormatAt);
  const auto dtype = number_at<std::uint8_t>(bytes, kDtypeAt), flags = number_at<std::uint8_t>(bytes, kFlagsAt);
  if (format != kFormat || dtype > static_cast<std::uint8_t>(RowDtype::kInt8) || flags != 0 || tail > kTailBytes) {
    throw Error(concat(place.text(), ": expected a value of format 1, found format ", format, ", dtype ", int{dtype},
                       ", flags ", int{flags}, "; a newer loraxs wrote it"));
  }
  RowValue value;
  value.header.dtype = static_cast<RowDtype>(dtype);
  value.header.numbers = number_at<std::uint32_t>(bytes, kNumbersAt);
  value.header.version = number_at<std::uint64_t>(bytes, kVersionAt);
  value.header.created = number_at<std::int64_t>(bytes, kCreatedAt);
  value.header.kind = number_at<Digest>(bytes, kKindAt);
  value.header.row_digest = number_at<Digest>(bytes, kRowDigestAt);
  value.row = bytes.subspan(kRowHeaderBytes, row);
  value.tail = {reinterpret_cast<const char*>(bytes.data() + kRowHeaderBytes + row), static_cast<std::size_t>(tail)};
  if (!is_row_form(value.header.dtype, value.header.numbers, value.row)) {
    fail_damaged(place, concat("its row is no row of ", value.header.numbers, " numbers"));
  }
  return value;
}

void check_row_digest(const RowValue& value, const RowPlace& place) {
  const Digest found = digest_of_bytes(value.row);
  if (found == value.header.row_digest) return;
  fail_damaged(place, concat("expected a row with SHA-256 ", digest_hex(value.header.row_digest).substr(0, 16),
                             "…, found ", digest_hex(found).substr(0, 16), "…"));
}

}  // namespace loraxs
