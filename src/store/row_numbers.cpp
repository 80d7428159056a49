#include "store/row_numbers.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "io/error.h"
#include "store/little_endian.h"

namespace loraxs {
namespace {

constexpr std::array<const char*, 3> kDtypeNames = {"float32", "bfloat16", "int8"};
constexpr std::size_t kSegmentBytes = 8;  // u32 numbers, float32 scale
constexpr float kLargest = 127;

template <typename Number>
void append(std::vector<std::byte>& bytes, Number number) {
  const auto raw = std::bit_cast<std::array<std::byte, sizeof number>>(number);
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

/// Round to nearest, ties to even, of a finite number; one beyond bfloat16's largest becomes infinity.
std::uint16_t bfloat16_of(float number) {
  const auto bits = std::bit_cast<std::uint32_t>(number);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

std::vector<std::byte> encode_int8(std::span<const float> row, std::span<const std::uint32_t> segments) {
  std::vector<std::byte> bytes;
  bytes.reserve(sizeof(std::uint32_t) + segments.size() * kSegmentBytes + row.size());
  append(bytes, static_cast<std::uint32_t>(segments.size()));
  std::vector<float> scales;
  scales.reserve(segments.size());
  std::size_t at = 0;
  for (const std::uint32_t numbers : segments) {
    float largest = 0;
    for (const float number : row.subspan(at, numbers)) largest = std::max(largest, std::abs(number));
    scales.push_back(largest / kLargest);
    append(bytes, numbers);
    append(bytes, scales.back());
    at += numbers;
  }
  at = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    for (const float number : row.subspan(at, segments[i])) {
      const float steps = scales[i] > 0 ? std::nearbyint(number / scales[i]) : 0.0F;
      append(bytes, static_cast<std::int8_t>(std::clamp(steps, -kLargest, kLargest)));
    }
    at += segments[i];
  }
  return bytes;
}

/// Bytes of the segments' table, itself included.
std::size_t table_bytes(std::span<const std::byte> row) {
  return sizeof(std::uint32_t) + std::size_t{number_at<std::uint32_t>(row, 0)} * kSegmentBytes;
}

}  // namespace

const char* row_dtype_name(RowDtype dtype) { return kDtypeNames[static_cast<std::size_t>(dtype)]; }

RowDtype row_dtype_of(const std::string& name, const std::string& where) {
  for (std::size_t i = 0; i < kDtypeNames.size(); ++i) {
    if (name == kDtypeNames[i]) return static_cast<RowDtype>(i);
  }
  throw Error(concat(where, ": expected float32, bfloat16 or int8, found ", name));
}

std::vector<std::byte> encode_row(std::span<const float> row, RowDtype dtype, std::span<const std::uint32_t> segments,
                                  const std::string& where) {
  check_row_finite(RowDtype::kFloat32, std::as_bytes(row), where);
  if (dtype == RowDtype::kFloat32) {
    const std::span bytes = std::as_bytes(row);
    return {bytes.begin(), bytes.end()};
  }
  std::vector<std::byte> bytes;
  if (dtype == RowDtype::kBFloat16) {
    bytes.reserve(row.size() * sizeof(std::uint16_t));
    for (const float number : row) append(bytes, bfloat16_of(number));
    check_row_finite(dtype, bytes, where);  // one beyond bfloat16's largest
    return bytes;
  }
  std::size_t sum = 0;
  for (const std::uint32_t numbers : segments) sum += numbers;
  if (sum != row.size() || segments.empty()) {
    throw Error(concat(where, ": int8: expected segments of ", row.size(), " numbers together, found ", sum));
  }
  return encode_int8(row, segments);
}

void decode_row(RowDtype dtype, std::span<const std::byte> row, std::span<float> numbers) {
  if (dtype == RowDtype::kFloat32) {
    std::ranges::copy(row, std::as_writable_bytes(numbers).begin());
    return;
  }
  if (dtype == RowDtype::kBFloat16) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = std::bit_cast<float>(std::uint32_t{number_at<std::uint16_t>(row, 2 * i)} << 16);
    }
    return;
  }
  std::size_t at = table_bytes(row), done = 0;
  for (std::size_t segment = sizeof(std::uint32_t); segment < table_bytes(row); segment += kSegmentBytes) {
    const auto count = number_at<std::uint32_t>(row, segment);
    const auto scale = number_at<float>(row, segment + sizeof count);
    for (std::size_t i = 0; i < count; ++i) numbers[done++] = scale * number_at<std::int8_t>(row, at++);
  }
}

bool is_row_form(RowDtype dtype, std::uint32_t numbers, std::span<const std::byte> row) {
  if (dtype != RowDtype::kInt8) {
    const std::size_t each = dtype == RowDtype::kFloat32 ? sizeof(float) : sizeof(std::uint16_t);
    return row.size() == numbers * each;
  }
  if (row.size() < sizeof(std::uint32_t) || row.size() != table_bytes(row) + numbers) return false;
  std::uint64_t sum = 0;
  for (std::size_t segment = sizeof(std::uint32_t); segment < table_bytes(row); segment += kSegmentBytes) {
    sum += number_at<std::uint32_t>(row, segment);
  }
  return sum == numbers;
}

void check_row_form(RowDtype dtype, std::uint32_t numbers, std::span<const std::byte> row, const std::string& where) {
  if (is_row_form(dtype, numbers, row)) return;
  throw Error(concat(where, ": row: expected ", numbers, " numbers of ", row_dtype_name(dtype), ", found ", row.size(),
                     " bytes of another form"));
}

void check_row_finite(RowDtype dtype, std::span<const std::byte> row, const std::string& where) {
  const auto refuse = [&](std::size_t at) {
    throw Error(concat(where, ": row: expected finite numbers, found NaN or infinity at ", at));
  };
  if (dtype == RowDtype::kFloat32) {
    constexpr std::uint32_t kExponent = 0x7f800000U;
    for (std::size_t i = 0; i < row.size() / sizeof(float); ++i) {
      if ((number_at<std::uint32_t>(row, i * sizeof(float)) & kExponent) == kExponent) refuse(i);
    }
    return;
  }
  if (dtype == RowDtype::kBFloat16) {
    constexpr std::uint16_t kExponent = 0x7f80U;
    for (std::size_t i = 0; i < row.size() / 2; ++i) {
      if ((number_at<std::uint16_t>(row, i * 2) & kExponent) == kExponent) refuse(i);
    }
    return;
  }
  for (std::size_t segment = sizeof(std::uint32_t); segment < table_bytes(row); segment += kSegmentBytes) {
    if (!std::isfinite(number_at<float>(row, segment + sizeof(std::uint32_t)))) refuse(segment);
  }
}

}  // namespace loraxs
