// store/shared_object.h: what many adapters of a store share, kept once and named by its SHA-256: kinds and bases.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "store/row_value.h"

namespace loraxs {

enum class SharedKind : std::uint8_t {
  kKind = 0,   // JSON: base, basis, method, layout, alpha, tokenizer (docs/formats.md)
  kBasis = 1,  // a basis file that its adapters travel with, byte by byte
};

inline constexpr std::size_t kKindBytes = std::size_t{1} << 20;

/// The kind's text: keys sorted, no blanks. Its SHA-256 is its name.
std::string kind_text(const nlohmann::json& kind);

/// The fields of a kind. Throws Error, which `where` starts, where the text is no kind of this format, or not as
/// kind_text writes it.
nlohmann::json parse_kind(std::string_view text, const std::string& where);

/// The digest of a kind that is a JSON object; of a basis, of its bytes. Throws Error where they are not `digest`'s.
void check_shared(SharedKind kind, const Digest& digest, std::string_view bytes, const std::string& where);

}  // namespace loraxs
