// data/answer_spans.h: where the answers stand in a rendered conversation.
#pragma once
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/chat_rendering.h"

namespace loraxs {

/// One answer in a rendering, in bytes.
struct AnswerSpan {
  size_t turn = 0;            // of the conversation
  size_t begin = 0, end = 0;  // what the template made of the answer's text, reasoning and calls
  size_t turn_end = 0;        // the end of what it wrote for the turn: the answer's end token stands before or there
  bool followed = true;       // false: where the turn ends is not known, turn_end is the answer's own end
};

/// The answers `asked` (turns of `turns`, ascending) in `rendering`.
///
/// Another conversation is rendered in which every answer says something that no text says; in what a template wrote
/// for a turn, the answer is what differs. So it does not matter what the template writes around it or makes of it, nor
/// whether it rewrites earlier turns. Where the template refuses that conversation (calls whose results follow), turns
/// with calls keep them and count from the end of the generation prompt on. Two renderings in all, and one for each
/// asked turn where the template walks through the turns in a way that cannot be followed; then at most kMostSought of
/// them. Throws Error naming the turn whose answer cannot be found.
std::vector<AnswerSpan> answer_spans(const ChatRenderer& renderer, const nlohmann::ordered_json& turns,
                                     const std::vector<size_t>& asked, const jinja::Rendering& rendering);

inline constexpr size_t kMostSought = 100;

}  // namespace loraxs
