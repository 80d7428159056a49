#include "data/language.h"

#include <algorithm>

#include "io/error.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;
using Spans = std::vector<std::pair<size_t, size_t>>;  // bytes: first, one past the last

/// How many of `ids`, the tokens of a text, the tokens of its beginning `prefix` agree with.
size_t tokens_of_prefix(const TextEncoder& encoder, const std::vector<int32_t>& ids, std::string_view prefix,
                        bool add_special) {
  const std::vector<int32_t> alone = encoder.encode(prefix, add_special);
  return std::mismatch(alone.begin(), alone.end(), ids.begin(), ids.end()).second - ids.begin();
}

/// The text with targets at `spans`.
Encoding encode_spans(const TextEncoder& encoder, const std::string& text, const Spans& spans, bool add_special) {
  Encoding encoding{.input_ids = encoder.encode(text, add_special)};
  encoding.is_target.assign(encoding.input_ids.size(), 0);
  for (const auto& [begin, end] : spans) {
    const std::string_view whole = text;
    const size_t first = tokens_of_prefix(encoder, encoding.input_ids, whole.substr(0, begin), add_special);
    const size_t last = end == text.size()
                            ? encoding.input_ids.size()
                            : tokens_of_prefix(encoder, encoding.input_ids, whole.substr(0, end), add_special);
    for (size_t i = first; i < last; ++i) encoding.is_target[i] = 1;
  }
  return encoding;
}

ChatOptions chat_options(const TextEncoder& encoder, bool add_generation_prompt) {
  return {
      .add_generation_prompt = add_generation_prompt, .bos_token = encoder.bos_token, .eos_token = encoder.eos_token};
}

/// Where the answers stand in `text`, the rendering of `messages`; each ends with the template's EOS if there is one.
Spans answer_spans(const TextEncoder& encoder, const ChatTemplate& chat, const Json& messages, const std::string& text,
                   const std::string& where) {
  Spans spans;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i]["role"] != "assistant") continue;
    const Json before(messages.begin(), messages.begin() + static_cast<long>(i));
    const Json with(messages.begin(), messages.begin() + static_cast<long>(i) + 1);
    const std::string prompt = before.empty() ? "" : chat.render(before, chat_options(encoder, true));
    const std::string turn = chat.render(with, chat_options(encoder, false));
    if (!text.starts_with(turn) || !turn.starts_with(prompt)) {
      throw Error(
          concat(where, ": messages[", i, "]: ", chat.where(),
                 ": expected a template that renders the beginning of a conversation as it stands in the whole; "
                 "mark the answers with {% generation %} or use train_on: last"));
    }
    size_t end = turn.size();
    const size_t eos = encoder.eos_token.empty() ? std::string::npos : turn.rfind(encoder.eos_token);
    if (eos != std::string::npos && eos >= prompt.size()) end = eos + encoder.eos_token.size();
    spans.emplace_back(prompt.size(), end);
  }
  return spans;
}

/// Turns up to the last answer.
Json up_to_last_answer(const Json& messages) {
  Json kept = messages;
  while (!kept.empty() && kept.back()["role"] != "assistant") kept.erase(kept.size() - 1);
  return kept;
}

const ChatTemplate& template_of(const Example& example, const ChatTemplate* chat) {
  if (chat == nullptr) throw Error(concat(example.where, ": expected a model with a chat template, found none"));
  return *chat;
}

Encoding encode_conversation(const TextEncoder& encoder, const Example& example, TrainOn train_on,
                             const ChatTemplate* chat) {
  template_of(example, chat);
  const Json messages = up_to_last_answer(example.messages);
  try {
    auto [text, spans] = chat->render_marked(messages, chat_options(encoder, false));
    if (train_on == TrainOn::kAll) {
      spans = {{0, text.size()}};
    } else if (spans.empty() && train_on == TrainOn::kLast) {
      Json context = messages;
      context.erase(context.size() - 1);
      const std::string prompt = context.empty() ? "" : chat->render(context, chat_options(encoder, true));
      if (!text.starts_with(prompt)) {
        throw Error(concat(chat->where(), ": expected the prompt for the last answer to begin the whole conversation"));
      }
      const size_t eos = encoder.eos_token.empty() ? std::string::npos : text.rfind(encoder.eos_token);
      spans = {{prompt.size(),
                eos == std::string::npos || eos < prompt.size() ? text.size() : eos + encoder.eos_token.size()}};
    } else if (spans.empty()) {
      spans = answer_spans(encoder, *chat, messages, text, example.where);
    }
    if (train_on == TrainOn::kLast) spans.erase(spans.begin(), spans.end() - 1);
    return encode_spans(encoder, text, spans, /*add_special=*/false);
  } catch (const Error& error) {
    const std::string what = error.what();
    throw Error(what.starts_with(example.where) ? what : concat(example.where, ": ", what));
  }
}

Encoding encode_answer(const TextEncoder& encoder, const Example& example) {
  const std::string text = example.first + example.second.value_or("");
  Encoding encoding = encode_spans(encoder, text, {{example.first.size(), text.size()}}, /*add_special=*/true);
  const bool ended =
      !encoder.eos_ids.empty() && !encoding.input_ids.empty() &&
      std::find(encoder.eos_ids.begin(), encoder.eos_ids.end(), encoding.input_ids.back()) != encoder.eos_ids.end();
  if (!encoder.eos_ids.empty() && !ended) {
    encoding.input_ids.push_back(encoder.eos_ids.front());
    encoding.is_target.push_back(1);
  }
  return encoding;
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
  Json context = up_to_last_answer(example.messages);
  context.erase(context.size() - 1);
  const std::string prompt = template_of(example, chat_template).render(context, chat_options(encoder, true));
  return encoder.encode(prompt, /*add_special=*/false);  // the template writes its own BOS
}

std::string answer_of(const Example& example) {
  if (example.messages.is_null()) return example.second.value_or("");
  const Json answer = up_to_last_answer(example.messages).back();
  const Json content = answer.value("content", Json());
  if (!content.is_string()) {
    throw Error(concat(example.where, ": content of the last answer: expected a text, found ", content.type_name()));
  }
  return content.get<std::string>();
}

Example with_answer(const Example& example, const std::string& answer) {
  Example other = example;
  if (example.messages.is_null()) {
    other.second = answer;
  } else {
    other.messages = up_to_last_answer(example.messages);
    other.messages.back()["content"] = answer;
  }
  return other;
}

}  // namespace loraxs
