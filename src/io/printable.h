// io/printable.h: texts of others, made safe for a terminal and a log line.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace loraxs {

/// An error with "loraxs: " before it stays within 500 bytes, and so within 500 characters.
inline constexpr size_t kMessageBytes = 480;

/// What a terminal would obey or hide stands as an escape: control characters (\n, \t, \x1b, \x85), line and paragraph
/// separators and marks of writing direction (\u202e), bytes that are no UTF-8 (\xff). Backslashes stay as they are, so
/// that a text escaped twice is escaped once.
std::string printable(std::string_view text);

/// A JSON text whose strings hold such characters as escapes of JSON; its own line breaks stay.
std::string printable_json(std::string_view json);

/// printable(), and where that is longer than `most` bytes (≥ 8) its beginning with "…", cut between characters.
std::string shortened(std::string_view text, size_t most);

/// Where the first byte stands that belongs to no character; npos: nowhere.
size_t first_invalid_utf8(std::string_view text);

/// printable() within kMessageBytes: where a message is longer, its middle is left out, since the place stands at its
/// beginning and the hint at its end.
std::string safe_message(std::string_view text);

}  // namespace loraxs
