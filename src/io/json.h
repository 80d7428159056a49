// io/json.h: the one reader of JSON that comes from outside, in linear time and within bounds.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "io/printable.h"

namespace loraxs {

/// What a text may ask of us. The largest tokenizer.json published (262,144 tokens, 515,000 merges, 33 MB) fits into
/// two thirds of it.
struct JsonLimits {
  size_t depth = 100;                 // arrays and objects inside one another; walks of a value may recurse
  size_t bytes = size_t{48} << 20;    // of the text
  size_t memory = size_t{256} << 20;  // of the values, as estimated before each one is made
  size_t keys = SIZE_MAX;             // of one object
  bool unique_keys = false;           // a key that stands twice: an error, else its last value counts
};

/// One record of a data file: ordered objects are searched from the front, which bounded keys keep linear.
inline constexpr JsonLimits kRecordLimits = {.keys = 10'000};

/// The value of a whole text. Throws Error "WHERE: expected JSON…" for anything else ("WHERE:LINE: …" from the second
/// line on), for invalid UTF-8, a number beyond float64, and what lies beyond the limits; nothing but Error leaves.
nlohmann::json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits = {});

/// The same with objects in the order of the text. Look up a few keys of such an object, never each: one costs a walk.
nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& where,
                                          const JsonLimits& limits = kRecordLimits);

/// The value of what another program may have put there; null where it is none, or beyond the limits.
nlohmann::json json_or_null(std::string_view text);
nlohmann::ordered_json ordered_json_or_null(std::string_view text);

/// A file's value; errors start with its path.
nlohmann::json read_json(const std::filesystem::path& path, const JsonLimits& limits = {});

/// JSON of values that come from outside, for files, messages and terminals: invalid UTF-8 becomes U+FFFD, where
/// nlohmann's own dump() throws, and what printable() escapes stands as \uXXXX, which reads back as the same text.
template <typename Json>
std::string json_text(const Json& value, int indent = -1) {
  return printable_json(value.dump(indent, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace));
}

}  // namespace loraxs
