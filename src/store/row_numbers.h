// store/row_numbers.h: rows as float32, bfloat16 and int8 with a scale per segment.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "store/row_value.h"

namespace loraxs {

const char* row_dtype_name(RowDtype dtype);
/// Throws Error for a name that is none of float32, bfloat16 and int8.
RowDtype row_dtype_of(const std::string& name, const std::string& where);

/// The bytes of `row` as `dtype`: bfloat16 rounds to nearest, ties to even. int8 is, little-endian: u32 segments; of
/// each u32 numbers and float32 scale = largest magnitude / 127; then a signed byte per number, rounded number / scale.
/// `segments`: numbers of each, which sum to the row's; only int8 reads them. Throws Error, which `where` starts, for a
/// number that is not finite.
std::vector<std::byte> encode_row(std::span<const float> row, RowDtype dtype, std::span<const std::uint32_t> segments,
                                  const std::string& where);

/// The numbers of a row that passed decode_row_value, into `numbers` [header.numbers].
void decode_row(RowDtype dtype, std::span<const std::byte> row, std::span<float> numbers);

/// Whether `row` is a row of so many numbers, in bytes and, of int8, in segments.
bool is_row_form(RowDtype dtype, std::uint32_t numbers, std::span<const std::byte> row);
/// Throws Error unless `row` is a row of so many numbers, in bytes and, of int8, in segments.
void check_row_form(RowDtype dtype, std::uint32_t numbers, std::span<const std::byte> row, const std::string& where);

/// Throws Error for NaN and infinity in a row of the right form.
void check_row_finite(RowDtype dtype, std::span<const std::byte> row, const std::string& where);

}  // namespace loraxs
