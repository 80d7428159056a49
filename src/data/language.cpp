#include "data/language.h"

#include <algorithm>

#include "data/answer_spans.h"
#include "data/chat_turns.h"
#include "data/token_places.h"
#include "io/error.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;
using Spans = std::vector<std::pair<size_t, size_t>>;  // bytes: first, one past the last

/// The text with targets at `spans`.
Encoding encode_spans(const TextEncoder& encoder, const std::string& text, const Spans& spans, bool add_special) {
  const TokenPlaces places(encoder, text, add_special);
  Encoding encoding{.input_ids = places.ids()};
  encoding.is_target.assign(encoding.input_ids.size(), 0);
  for (const auto& [begin, end] : spans) {
    const size_t last = places.tokens_before(end);
    for (size_t i = places.tokens_before(begin); i < last; ++i) encoding.is_target[i] = 1;
  }
  return encoding;
}

bool ends_text(const TextEncoder& encoder, int32_t id) {
  return std::find(encoder.eos_ids.begin(), encoder.eos_ids.end(), id) != encoder.eos_ids.end();
}

/// The token behind the last one of an answer that ends at token `end`, with what ends its turn; the template wrote the
/// tokens up to `turn_end` for the turn.
size_t end_of_turn(const TextEncoder& encoder, const std::vector<int32_t>& ids, size_t end, size_t turn_end,
                   bool followed) {
  const auto is_special = [&](size_t i) {
    return ends_text(encoder, ids[i]) || (encoder.special_text && encoder.special_text(ids[i]) != nullptr);
  };
  for (size_t i = end; i < turn_end; ++i) {
    if (is_special(i)) return i + 1;
  }
  const bool ends_there =
      turn_end < ids.size() && (followed ? ends_text(encoder, ids[turn_end]) : is_special(turn_end));
  return ends_there ? turn_end + 1 : turn_end;
}

/// The text with targets at the answers and what ends them.
Encoding encode_answers(const TextEncoder& encoder, const std::string& text, const std::vector<AnswerSpan>& answers) {
  const TokenPlaces places(encoder, text, /*add_special=*/false);
  Encoding encoding{.input_ids = places.ids()};
  encoding.is_target.assign(encoding.input_ids.size(), 0);
  for (const AnswerSpan& answer : answers) {
    const size_t last = end_of_turn(encoder, places.ids(), places.tokens_before(answer.end),
                                    places.tokens_before(answer.turn_end), answer.followed);
    for (size_t i = places.tokens_before(answer.begin); i < last; ++i) encoding.is_target[i] = 1;
  }
  return encoding;
}

/// How many turns there are up to the last answer.
size_t up_to_last_answer(const Json& messages) {
  size_t size = messages.size();
  while (size > 0 && !is_assistant(messages[size - 1])) --size;
  return size;
}

const ChatTemplate& template_of(const Example& example, const ChatTemplate* chat) {
  if (chat == nullptr) throw Error(concat(example.where, ": expected a model with a chat template, found none"));
  return *chat;
}

/// What `render` gives; errors begin with the place of the example.
template <typename Render>
auto located(const Example& example, const Render& render) {
  try {
    return render();
  } catch (const Error& error) {
    const std::string what = error.what();
    throw Error(what.starts_with(example.where) ? what : concat(example.where, ": ", what));
  }
}

/// The turns whose answers are learnt.
std::vector<size_t> asked_turns(const Json& messages, size_t size, TrainOn train_on) {
  std::vector<size_t> asked;
  for (size_t i = 0; i < size; ++i) {
    if (is_learnt(messages[i])) {
      asked.push_back(i);
    } else if (train_on == TrainOn::kAll && is_assistant(messages[i])) {
      throw Error(concat("messages[", i,
                         "]: expected a turn to learn, as train_on: all learns every token, found one "
                         "that the record leaves out; use train_on: answers"));
    }
  }
  if (train_on == TrainOn::kLast && !asked.empty()) asked.erase(asked.begin(), asked.end() - 1);
  return asked;
}

/// Of what the template marks, the blocks that lie in the asked turns; all of them where no turn can be followed.
Spans marked_spans(const jinja::Rendering& rendering, const std::vector<size_t>& asked, TrainOn train_on) {
  Spans spans;
  for (const auto& block : rendering.generated) {
    const bool wanted = std::any_of(asked.begin(), asked.end(), [&](size_t turn) {
      return rendering.printed[turn].first <= block.first && block.second <= rendering.printed[turn].second;
    });
    if (wanted) spans.push_back(block);
  }
  const bool follows = std::any_of(rendering.printed.begin(), rendering.printed.end(),
                                   [](const auto& range) { return range.first < range.second; });
  if (follows) return spans;
  return train_on == TrainOn::kLast ? Spans{rendering.generated.back()} : rendering.generated;
}

Encoding encode_conversation(const TextEncoder& encoder, const Example& example, TrainOn train_on,
                             const ChatTemplate* chat) {
  const ChatTokens tokens{.bos = encoder.bos_token, .eos = encoder.eos_token};
  const ChatRenderer renderer(template_of(example, chat), tokens, example);
  return located(example, [&] {
    const Json turns = renderer.turns(up_to_last_answer(example.messages));
    const std::vector<size_t> asked = asked_turns(example.messages, turns.size(), train_on);
    const jinja::Rendering rendering = renderer.render(turns, /*add_generation_prompt=*/false);
    renderer.check_complete(turns, rendering, /*add_generation_prompt=*/false);
    const std::string& text = rendering.text;
    if (train_on == TrainOn::kAll) return encode_spans(encoder, text, {{0, text.size()}}, /*add_special=*/false);
    if (rendering.generated.empty()) {
      return encode_answers(encoder, text, answer_spans(renderer, turns, asked, rendering));
    }
    return encode_spans(encoder, text, marked_spans(rendering, asked, train_on), /*add_special=*/false);
  });
}

Encoding encode_answer(const TextEncoder& encoder, const Example& example) {
  const std::string text = example.first + example.second.value_or("");
  Encoding encoding = encode_spans(encoder, text, {{example.first.size(), text.size()}}, /*add_special=*/true);
  const bool ended = !encoding.input_ids.empty() && ends_text(encoder, encoding.input_ids.back());
  if (!encoder.eos_ids.empty() && !ended) {
    encoding.input_ids.push_back(encoder.eos_ids.front());
    encoding.is_target.push_back(1);
  }
  return encoding;
}

/// The first `size` turns and the opening of an answer.
std::vector<int32_t> prompt_of(const TextEncoder& encoder, const Example& example, size_t size,
                               const ChatTemplate* chat) {
  const ChatTokens tokens{.bos = encoder.bos_token, .eos = encoder.eos_token};
  const ChatRenderer renderer(template_of(example, chat), tokens, example);
  const std::string prompt = located(example, [&] {
    const Json turns = renderer.turns(size);
    jinja::Rendering rendering = renderer.render(turns, /*add_generation_prompt=*/true);
    renderer.check_complete(turns, rendering, /*add_generation_prompt=*/true);
    return std::move(rendering.text);
  });
  return encoder.encode(prompt, /*add_special=*/false);  // the template writes its own BOS
}

/// Cuts off what does not fit and takes the example in, if a target is left. The first token has no prediction.
void add(EncodedExamples& encoded, Encoding encoding, int64_t max_length) {
  if (static_cast<int64_t>(encoding.input_ids.size()) > max_length) {
    encoding.input_ids.resize(max_length);
    encoding.is_target.resize(max_length);
    encoding.truncated = true;
  }
  if (!encoding.is_target.empty()) encoding.is_target[0] = 0;
  if (std::find(encoding.is_target.begin(), encoding.is_target.end(), 1) == encoding.is_target.end()) {
    ++encoded.num_dropped;
    return;
  }
  encoded.num_truncated += encoding.truncated;
  encoded.encodings.push_back(std::move(encoding));
  encoded.targets.push_back(0);
}

EncodedExamples encode_windows(const TextEncoder& encoder, const std::vector<Example>& examples, int64_t max_length,
                               int64_t stride) {
  std::vector<int32_t> ids;
  for (const Example& example : examples) {
    const std::vector<int32_t> text = encoder.encode(example.second.value_or(""), /*add_special=*/true);
    ids.insert(ids.end(), text.begin(), text.end());
    if (!encoder.eos_ids.empty()) ids.push_back(encoder.eos_ids.front());
  }
  EncodedExamples encoded;
  const auto size = static_cast<int64_t>(ids.size());
  for (int64_t begin = 0, done = 0; done < size; begin += stride) {
    const int64_t end = std::min(size, begin + max_length);
    Encoding window{.input_ids = {ids.begin() + begin, ids.begin() + end}};
    window.is_target.assign(window.input_ids.size(), 1);
    std::fill_n(window.is_target.begin(), done - begin, 0);
    add(encoded, std::move(window), max_length);
    done = end;
  }
  return encoded;
}

}  // namespace

EncodedExamples encode_language(const TextEncoder& encoder, const Task& task, const std::vector<Example>& examples,
                                int64_t max_length, const ChatTemplate* chat_template, int64_t stride) {
  if (max_length < 2) throw Error(concat("max_length: expected at least 2 for a language model, found ", max_length));
  if (stride < 0 || stride > max_length) {
    throw Error(concat("stride: expected from 1 to the window's ", max_length, " tokens, found ", stride));
  }
  if (task.windows) return encode_windows(encoder, examples, max_length, stride == 0 ? max_length : stride);
  EncodedExamples encoded;
  for (const Example& example : examples) {
    add(encoded,
        example.messages.is_null() ? encode_answer(encoder, example)
                                   : encode_conversation(encoder, example, task.train_on, chat_template),
        max_length);
  }
  return encoded;
}

std::vector<int32_t> encode_question(const TextEncoder& encoder, const Example& example, bool as_trained,
                                     const ChatTemplate* chat_template) {
  if (example.messages.is_null()) {
    return encoder.encode(as_trained ? example.first : example.asked.value_or(example.first), /*add_special=*/true);
  }
  return prompt_of(encoder, example, up_to_last_answer(example.messages) - 1, chat_template);
}

std::vector<int32_t> encode_prompt(const TextEncoder& encoder, const Example& example,
                                   const ChatTemplate* chat_template) {
  size_t size = example.messages.size();
  while (size > 0 && is_assistant(example.messages[size - 1])) --size;
  return prompt_of(encoder, example, size, chat_template);
}

std::string answer_of(const Example& example) {
  if (example.messages.is_null()) return example.second.value_or("");
  return turn_text(example.messages[up_to_last_answer(example.messages) - 1]);
}

Example with_answer(const Example& example, const std::string& answer) {
  Example other = example;
  if (example.messages.is_null()) {
    other.second = answer;
  } else {
    other.messages.erase(other.messages.begin() + static_cast<std::ptrdiff_t>(up_to_last_answer(example.messages)),
                         other.messages.end());
    other.messages.back() = text_turn("assistant", answer);
  }
  return other;
}

}  // namespace loraxs
