// train/event_file.h: TensorBoard's event files: length-prefixed protobuf records with masked CRC-32C.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace loraxs {

/// First record of a file.
std::string event_file_header(double wall_time);
/// One scalar. `wall_time` in seconds since 1970.
std::string scalar_event(double wall_time, int64_t step, const std::string& tag, float value);

/// CRC-32C (Castagnoli), as RFC 3720 B.4 has test vectors for.
uint32_t crc32c(std::string_view bytes);

}  // namespace loraxs
