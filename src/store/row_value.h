// store/row_value.h: the value format loraxs-row-1 (docs/formats.md): header, row, tail.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/reference.h"

namespace loraxs {

using Digest = std::array<std::byte, 32>;  // SHA-256
Digest digest_of_bytes(std::span<const std::byte> bytes);
std::string digest_hex(const Digest& digest);
/// Throws Error, which `where` starts, for anything but 64 hexadecimal digits.
Digest digest_from_hex(std::string_view hex, const std::string& where);

enum class RowDtype : std::uint8_t { kFloat32 = 0, kBFloat16 = 1, kInt8 = 2 };

struct RowHeader {
  RowDtype dtype = RowDtype::kFloat32;
  std::uint32_t numbers = 0;  // in the row
  std::uint64_t version = 0;  // of the adapter, from 1
  std::int64_t created = 0;   // microseconds since 1970, UTC
  Digest kind = {};           // of what it shares with others (store/shared_object.h)
  Digest row_digest = {};     // SHA-256 of the row's bytes
};

/// A value as it lies in a store: views, valid as long as its bytes are.
struct RowValue {
  RowHeader header;
  std::span<const std::byte> row;
  std::string_view tail;  // JSON: what the adapter has for itself
};

/// Where a value lies, for messages: made into text only when one is said.
struct RowPlace {
  const StoreUrl& url;
  const AdapterName& name;
  std::uint64_t version = 0;
  std::string text() const { return shown_reference(url, name, version); }
};

inline constexpr std::size_t kRowHeaderBytes = 112;
inline constexpr std::size_t kTailBytes = 4'096;
inline constexpr std::size_t kRowBytes = std::size_t{1} << 31;

/// The value's bytes. Throws Error, which `where` starts, for a row or tail that is too large and a row that is no
/// vector of `header.dtype`.
std::vector<std::byte> encode_row_value(const AdapterName& name, const RowValue& value, const std::string& where);

/// Writes the checksum of whatever `bytes` hold, where they are long enough for a header: of the format's own tests.
void seal_row_value(std::span<std::byte> bytes, const AdapterName& name);

/// Checks all of it: magic, format, sizes, XXH3 over every byte, seeded with the name, so that a value under another
/// name is refused. Not the SHA-256: check_row_digest. Throws Error that says what is damaged.
RowValue decode_row_value(std::span<const std::byte> bytes, const RowPlace& place);
void check_row_digest(const RowValue& value, const RowPlace& place);

}  // namespace loraxs
