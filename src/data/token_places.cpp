#include "data/token_places.h"

#include <algorithm>

namespace loraxs {

TokenPlaces::TokenPlaces(const TextEncoder& encoder, std::string_view text, bool add_special)
    : encoder_(encoder), text_(text), add_special_(add_special), ids_(encoder.encode(text, add_special)) {
  if (add_special || !encoder.special_text) return;  // what is added stands nowhere in the text
  size_t at = 0;
  for (size_t i = 0; i < ids_.size(); ++i) {
    const std::string* special = encoder.special_text(ids_[i]);
    if (special == nullptr || special->empty()) continue;
    const size_t found = text.find(*special, at);
    if (found == std::string_view::npos) return;
    specials_.emplace_back(found, i);
    at = found + special->size();
  }
}

size_t TokenPlaces::tokens_before(size_t byte) const {
  if (byte >= text_.size()) return ids_.size();
  const auto next = std::upper_bound(specials_.begin(), specials_.end(), byte,
                                     [](size_t value, const auto& special) { return value < special.first; });
  const auto common = [&](size_t begin, size_t first) {  // from byte `begin` on, which token `first` begins
    const std::vector<int32_t> alone = encoder_.encode(text_.substr(begin, byte - begin), add_special_ && begin == 0);
    const auto from = ids_.begin() + static_cast<std::ptrdiff_t>(first);
    return static_cast<size_t>(std::mismatch(alone.begin(), alone.end(), from, ids_.end()).first - alone.begin());
  };
  if (next == specials_.begin()) return common(0, 0);
  const auto& [begin, first] = *(next - 1);
  if (begin == byte) return first;
  const size_t tokens = common(begin, first);
  return tokens == 0 ? common(0, 0) : first + tokens;  // 0: this tokenizer reads it otherwise at the start of a text
}

}  // namespace loraxs
