// io/base64.h: base64 (RFC 4648, section 4): bytes as text.
#pragma once
#include <string>
#include <string_view>

namespace loraxs {

std::string encode_base64(std::string_view bytes);

/// Padding may be missing. Throws Error "WHERE: expected base64, found …" for any other character, white space
/// included.
std::string decode_base64(std::string_view text, const std::string& where);

}  // namespace loraxs
