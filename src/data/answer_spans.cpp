#include "data/answer_spans.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "data/chat_turns.h"
#include "io/error.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

/// Private characters of the last plane: no text has them, and no trimming or change of case touches them.
constexpr std::string_view kMark = "\xF4\x8F\xBF\xB7\xF4\x8F\xBF\xB9";

bool has_calls(const Json& turn) { return turn.contains("tool_calls") && !turn["tool_calls"].empty(); }

/// The same turns, in which the answers for which `chosen` holds say the mark instead.
template <typename Chosen>
Json with_marks(const Json& turns, Chosen chosen) {
  Json marked = turns;
  for (size_t i = 0; i < turns.size(); ++i) {
    if (turns[i]["role"] == "assistant" && chosen(i)) marked[i] = {{"role", "assistant"}, {"content", kMark}};
  }
  return marked;
}

/// What of `text` differs from `other`: first byte and one past the last, between characters.
std::pair<size_t, size_t> difference(std::string_view text, std::string_view other) {
  const auto inside = [&](size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  const size_t least = std::min(text.size(), other.size());
  size_t front = 0, back = 0;
  while (front < least && text[front] == other[front]) ++front;
  while (front > 0 && inside(front)) --front;
  while (back < least - front && text[text.size() - 1 - back] == other[other.size() - 1 - back]) ++back;
  while (back > 0 && inside(text.size() - back)) --back;
  return {front, text.size() - back};
}

class AnswerFinder {
 public:
  AnswerFinder(const ChatRenderer& renderer, const Json& turns, const jinja::Rendering& rendering)
      : renderer_(renderer), turns_(turns), rendering_(rendering) {
    try {
      marked_ = renderer.render(with_marks(turns, [](size_t) { return true; }), /*add_generation_prompt=*/false);
    } catch (const Error&) {
      if (std::none_of(turns.begin(), turns.end(), has_calls)) throw;
      marked_ = renderer.render(with_marks(turns, [&](size_t i) { return !has_calls(turns[i]); }), false);
      keeps_calls_ = true;
    }
  }

  AnswerSpan find(size_t turn) {
    const std::string_view text = printed(rendering_, turn), other = printed(marked_, turn);
    const size_t base = rendering_.printed[turn].first;
    if (!text.empty() && other.find(kMark) != std::string_view::npos) {
      const auto [begin, end] = difference(text, other);
      return {turn, base + begin, base + end, base + text.size()};
    }
    if (!text.empty() && keeps_calls_ && has_calls(turns_[turn])) {
      const std::string& opening = generation_prompt(turn);
      return {turn, base + (text.starts_with(opening) ? opening.size() : 0),
              base + text.find_last_not_of(" \t\r\n") + 1, base + text.size()};
    }
    return seek(turn);
  }

 private:
  static std::string_view printed(const jinja::Rendering& rendering, size_t turn) {
    const auto& [begin, end] = rendering.printed[turn];
    return std::string_view(rendering.text).substr(begin, end - begin);
  }

  /// What the template opens an assistant's turn with, before the turn `at`; the same for all turns.
  const std::string& generation_prompt(size_t at) {
    if (opening_) return *opening_;
    opening_ = "";
    if (at == 0) return *opening_;
    const Json before(turns_.begin(), turns_.begin() + static_cast<std::ptrdiff_t>(at));
    const std::string closed = renderer_.render(before, false).text, open = renderer_.render(before, true).text;
    if (open.starts_with(closed)) opening_ = open.substr(closed.size());
    return *opening_;
  }

  /// By a rendering of its own, in which this answer alone is another.
  AnswerSpan seek(size_t turn) {
    if (++sought_ > kMostSought) {
      throw Error(concat("messages[", turn, "]: expected at most ", kMostSought,
                         " answers with a template that does not loop over messages, found more; use train_on: last"));
    }
    const std::string other = renderer_.render(with_marks(turns_, [&](size_t i) { return i == turn; }), false).text;
    if (other.find(kMark) == std::string::npos) return {turn, 0, 0, 0, false};
    const auto [begin, end] = difference(rendering_.text, other);
    return {turn, begin, end, end, /*followed=*/false};
  }

  const ChatRenderer& renderer_;
  const Json& turns_;
  const jinja::Rendering& rendering_;
  jinja::Rendering marked_;
  bool keeps_calls_ = false;
  std::optional<std::string> opening_;
  size_t sought_ = 0;
};

}  // namespace

std::vector<AnswerSpan> answer_spans(const ChatRenderer& renderer, const Json& turns, const std::vector<size_t>& asked,
                                     const jinja::Rendering& rendering) {
  std::vector<AnswerSpan> spans;
  if (asked.empty()) return spans;
  AnswerFinder finder(renderer, turns, rendering);
  for (const size_t turn : asked) {
    const AnswerSpan span = finder.find(turn);
    const bool says_something =
        has_calls(turns[turn]) || turn_text(turns[turn]).find_first_not_of(" \t\r\n") != std::string::npos;
    if (span.turn_end == 0 || (span.begin == span.end && says_something)) {
      throw Error(concat("messages[", turn,
                         "]: expected a template that renders this answer, found that it leaves it out; ",
                         "take the turn out, or use train_on: last"));
    }
    spans.push_back(span);
  }
  return spans;
}

}  // namespace loraxs
