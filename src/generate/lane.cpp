#include "generate/lane.h"

#include <algorithm>

namespace loraxs {

Sequence Lane::sequence() const {
  const auto first = tokens.begin() + cached;
  const int64_t end = cached + scheduled, prompt = request->prompt_size(), known = request->known_prompt();
  Sequence sequence{.input_ids = {first, first + scheduled}, .slot = request->given.slot};
  sequence.first_position = cached;
  sequence.blocks = blocks;
  sequence.answer_tokens = scheduled - std::clamp<int64_t>(prompt - cached, 0, scheduled);
  sequence.asks_next = end == size() || (known <= end && end < prompt);
  const int64_t first_target = std::max(known, cached + 1), targets_end = std::min(end, prompt);
  if (first_target < targets_end) {
    sequence.is_target.assign(static_cast<size_t>(scheduled), 0);
    const auto flags = sequence.is_target.begin();
    std::fill(flags + (first_target - cached), flags + (targets_end - cached), uint8_t{1});
  }
  return sequence;
}

}  // namespace loraxs
