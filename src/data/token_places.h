// data/token_places.h: which tokens of a text belong to which of its bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/text_encoder.h"

namespace loraxs {

/// The tokens of a text. A boundary is found by tokenising again what stands before it, from the special token nearest
/// before it on: tokens do not reach across one. So many boundaries of a long conversation cost as much as its text.
class TokenPlaces {
 public:
  /// Both must outlive this.
  TokenPlaces(const TextEncoder& encoder, std::string_view text, bool add_special);

  const std::vector<int32_t>& ids() const { return ids_; }
  /// How many tokens the text before `byte` has in common with the whole: where a token spans the boundary, it and what
  /// follows do not count.
  size_t tokens_before(size_t byte) const;

 private:
  const TextEncoder& encoder_;
  const std::string_view text_;
  const bool add_special_;
  std::vector<int32_t> ids_;
  std::vector<std::pair<size_t, size_t>> specials_;  // byte and token where each special token begins, in order
};

}  // namespace loraxs
