// Shapes: TRL's dataset formats (huggingface.co/docs/trl/dataset_formats), LLaMA-Factory's alpaca and sharegpt
// (data/README.md there), axolotl's, OpenAI's fine-tuning files.
#include "data/chat_record.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "data/chat_turns.h"
#include "data/json_records.h"
#include "io/error.h"
#include "io/json.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 3> kTurnKeys = {"messages", "conversations", "conversation"};
constexpr std::array<const char*, 3> kSystemKeys = {"system", "system_prompt", "system_message"};

struct PairShape {
  const char* question;
  std::vector<const char*> contexts;  // texts that follow the question
  std::vector<const char*> answers;   // one of them
};
const std::vector<PairShape>& pair_shapes() {
  static const std::vector<PairShape> shapes = {
      {"instruction", {"input", "context"}, {"output", "response", "completion", "answer"}},
      {"prompt", {}, {"completion", "completions", "chosen", "response", "output", "answer"}},
      {"question", {}, {"answer", "response", "output"}},
      {"query", {}, {"response", "answer", "output"}}};
  return shapes;
}

/// Keys that speak of the conversation in some format: what no shape takes must not be passed over.
constexpr std::array<const char*, 26> kContextKeys = {"system",
                                                      "system_prompt",
                                                      "system_message",
                                                      "history",
                                                      "tools",
                                                      "functions",
                                                      "documents",
                                                      "images",
                                                      "image",
                                                      "videos",
                                                      "video",
                                                      "audios",
                                                      "audio",
                                                      "chat_template_kwargs",
                                                      "suffix",
                                                      "chat_template",
                                                      "reasoning_content",
                                                      "thinking",
                                                      "context",
                                                      "tool_calls",
                                                      "function_call",
                                                      "reasoning",
                                                      "rationale",
                                                      "choices",
                                                      "options",
                                                      "passage"};
constexpr std::array<const char*, 8> kQuestionKeys = {"messages",    "conversations", "conversation", "prompt",
                                                      "instruction", "question",      "query",        "input"};

/// Absent, null and empty say the same.
bool is_given(const Json& record, const std::string& key) {
  const auto found = record.find(key);
  if (found == record.end() || found->is_null()) return false;
  return !(found->is_string() && found->get_ref<const std::string&>().empty()) &&
         !(found->is_structured() && found->empty());
}

std::string names_of(const Json& record) {
  std::string names;
  size_t shown = 0;
  for (const auto& [key, value] : record.items()) {
    if (++shown > 8) return names + ", …";
    names += (names.empty() ? "" : ", ") + key;
  }
  return names.empty() ? "none" : names;
}

/// Reads one record; remembers which keys it used.
class RecordReader {
 public:
  RecordReader(const Json& record, std::string where) : record_(record), where_(std::move(where)) {}

  bool given(const std::string& key) const { return is_given(record_, key); }

  const Json& take(const std::string& key) {
    used_.push_back(key);
    return record_.at(key);
  }

  std::string text(const std::string& key) {
    const Json& value = take(key);
    if (!value.is_string()) fail(key, concat("expected a text, found ", value.type_name()));
    return value.get<std::string>();
  }

  /// The one of `keys` that is given; empty: none.
  template <typename Keys>
  std::string only(const Keys& keys) const {
    std::string found;
    for (const auto& name : keys) {
      const std::string key = name;
      if (!given(key)) continue;
      if (!found.empty()) fail(key, concat("expected ", found, " or ", key, ", found both; leave one out"));
      found = key;
    }
    return found;
  }

  [[noreturn]] void fail(const std::string& key, const std::string& what) const {
    throw Error(concat(where_, ": ", key, ": ", what));
  }
  const std::vector<std::string>& used() const { return used_; }
  void mark(const std::string& key) { used_.push_back(key); }
  const Json& record() const { return record_; }
  const std::string& where() const { return where_; }

 private:
  const Json& record_;
  const std::string where_;
  std::vector<std::string> used_;
};

Json concatenated(Json first, const Json& second) {
  for (const Json& turn : second) first.push_back(turn);
  return first;
}

bool begins_with(const Json& turns, const Json& beginning) {
  return beginning.size() <= turns.size() && std::equal(beginning.begin(), beginning.end(), turns.begin());
}

/// The turns of an answer: a text, one text in a list, or turns, which may repeat the question.
Json answer_turns(RecordReader& reader, const std::string& key, const Json& question) {
  const Json& answer = reader.take(key);
  if (answer.is_string())
    return concatenated(question, Json::array({text_turn("assistant", answer.get<std::string>())}));
  if (answer.is_array() && answer.size() == 1 && answer[0].is_string()) {
    return concatenated(question, Json::array({text_turn("assistant", answer[0].get<std::string>())}));
  }
  if (answer.is_array() && answer.size() > 1 && answer[0].is_string()) {
    reader.fail(key, concat("expected one answer, found ", answer.size(), "; make a record of each"));
  }
  if (!answer.is_structured())
    reader.fail(key, concat("expected a text or a list of turns, found ", answer.type_name()));
  const Json turns = read_turns(answer.is_array() ? answer : Json::array({answer}), concat(reader.where(), ": ", key));
  return begins_with(turns, question) && !question.empty() ? turns : concatenated(question, turns);
}

Json history_turns(RecordReader& reader) {
  Json turns = Json::array();
  if (!reader.given("history")) return turns;
  const Json& history = reader.take("history");
  if (!history.is_array()) reader.fail("history", concat("expected a list of pairs, found ", history.type_name()));
  for (const Json& pair : history) {
    const bool texts = pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string();
    if (!texts) {
      reader.fail(concat("history[", turns.size() / 2, "]"), "expected a list of two texts, a question and its answer");
    }
    turns.push_back(text_turn("user", pair[0].get<std::string>()));
    turns.push_back(text_turn("assistant", pair[1].get<std::string>()));
  }
  return turns;
}

/// The conversation of a question and its answer, or of the question alone; null where the record has no such shape.
Json pair_turns(RecordReader& reader) {
  const PairShape* shape = nullptr;
  for (const PairShape& each : pair_shapes()) {
    if (!reader.given(each.question)) continue;
    if (shape != nullptr) {
      reader.fail(each.question,
                  concat("expected ", shape->question, " or ", each.question, ", found both; leave one out"));
    }
    shape = &each;
  }
  if (shape == nullptr) {
    return reader.given("chosen") ? answer_turns(reader, "chosen", Json::array()) : Json();
  }
  const Json& asked = reader.record().at(shape->question);
  Json question;
  if (asked.is_array()) {
    question = read_turns(reader.take(shape->question), concat(reader.where(), ": ", shape->question));
  } else {
    std::string text = reader.text(shape->question);
    if (const std::string context = reader.only(shape->contexts); !context.empty())
      text += "\n\n" + reader.text(context);
    question = concatenated(history_turns(reader), Json::array({text_turn("user", text)}));
  }
  const std::string answer = reader.only(shape->answers);
  return answer.empty() ? question : answer_turns(reader, answer, question);
}

/// Turns under one of their keys; a `prompt` or `chosen` beside them must repeat what they say, or `chosen` answers
/// them. Null where there is
/// none.
Json listed_turns(RecordReader& reader) {
  const std::string key = reader.only(kTurnKeys);
  if (key.empty()) return {};
  Json turns = read_turns(reader.take(key), concat(reader.where(), ": ", key));
  if (reader.given("prompt")) {
    const Json& prompt = reader.take("prompt");
    const auto first =
        std::find_if(turns.begin(), turns.end(), [](const Json& turn) { return turn["role"] == "user"; });
    const bool repeats = prompt.is_string()
                             ? first != turns.end() && turn_text(*first) == prompt.get_ref<const std::string&>()
                             : begins_with(turns, read_turns(prompt, reader.where() + ": prompt"));
    if (!repeats) {
      reader.fail("prompt",
                  concat("expected what the first user's turn of ", key, " says, found something else; leave one out"));
    }
  }
  if (!reader.given("chosen")) return turns;
  const bool asks = turns.empty() || !is_assistant(turns.back());  // of LLaMA-Factory's rankings: the answer follows
  Json chosen = answer_turns(reader, "chosen", asks ? turns : Json::array());
  if (!asks && chosen != turns) {
    reader.fail("chosen", concat("expected the turns of ", key, ", found others; leave one out"));
  }
  return chosen;
}

Json read_tools(RecordReader& reader) {
  const std::string key = reader.only(std::array{"tools", "functions"});
  if (key.empty()) return {};
  Json tools = reader.take(key);
  if (tools.is_string()) {
    tools = parse_ordered_json(tools.get<std::string>(), concat(reader.where(), ": ", key), kDataLimits);
  }
  if (!tools.is_array())
    reader.fail(key, concat("expected a list of tools, or JSON text of one, found ", tools.type_name()));
  for (size_t i = 0; i < tools.size(); ++i) {
    if (!tools[i].is_object())
      reader.fail(concat(key, "[", i, "]"), concat("expected an object, found ", tools[i].type_name()));
    if (key == "functions") tools[i] = Json{{"type", "function"}, {"function", tools[i]}};
  }
  return tools.empty() ? Json() : tools;
}

/// What a conversation is rendered with, beside its turns.
void read_context(RecordReader& reader, Example& example) {
  if (const std::string system = record_system(reader.record(), reader.where()); !system.empty()) {
    for (const char* key : kSystemKeys) reader.mark(key);
    Json turn = text_turn("system", system);
    const bool has_one = !example.messages.empty() && example.messages[0]["role"] == "system";
    if (has_one && turn_text(example.messages[0]) != system) {
      reader.fail("system", "expected no other text than that of the system turn, found one; leave one out");
    }
    if (!has_one) example.messages = concatenated(Json::array({std::move(turn)}), example.messages);
  }
  example.tools = read_tools(reader);
  if (reader.given("documents")) {
    example.documents = reader.take("documents");
    if (!example.documents.is_array())
      reader.fail("documents", concat("expected a list, found ", example.documents.type_name()));
  }
  if (reader.given("chat_template_kwargs")) {
    example.template_arguments = reader.take("chat_template_kwargs");
    if (!example.template_arguments.is_object()) {
      reader.fail("chat_template_kwargs", concat("expected an object, found ", example.template_arguments.type_name()));
    }
  }
}

/// What says that an answer is a bad one.
void refuse_bad_answer(const RecordReader& reader) {
  for (const char* key : {"label", "kto_tag"}) {
    const Json& record = reader.record();
    if (!record.contains(key)) continue;
    std::string mark = record[key].is_string() ? record[key].get<std::string>() : record[key].dump();
    std::ranges::transform(mark, mark.begin(), [](unsigned char c) { return std::tolower(c); });
    if (mark == "false" || mark == "0") {
      reader.fail(key, "expected an answer to learn, found one that is marked as bad; leave it out");
    }
  }
  if (reader.record().contains("weight")) {
    const Json& weight = reader.record()["weight"];
    if (weight.is_number() && weight.get<double>() != 1) {
      reader.fail("weight", concat("expected 1, found ", weight.dump(), "; records weigh the same here"));
    }
  }
}

template <size_t N>
void refuse_unused(const Json& record, const std::array<const char*, N>& keys, const std::vector<std::string>& used,
                   const std::string& where, const std::string& hint) {
  for (const char* key : keys) {
    if (!is_given(record, key) || std::find(used.begin(), used.end(), key) != used.end()) continue;
    throw Error(concat(where, ": ", key,
                       ": expected no such key in a record of this shape, found one that would change ", "the prompt; ",
                       hint));
  }
}

}  // namespace

void refuse_context(const Json& record, const std::vector<std::string>& used, const std::string& where,
                    const std::string& hint) {
  refuse_unused(record, kContextKeys, used, where, hint);
}

std::string record_system(const Json& record, const std::string& where) {
  RecordReader reader(record, where);
  const std::string key = reader.only(kSystemKeys);
  return key.empty() ? "" : reader.text(key);
}

Example pair_conversation(const Json& record, const std::string& question, const std::string& answer,
                          const std::string& where) {
  RecordReader reader(record, where);
  Example example{.where = where};
  example.messages =
      concatenated(history_turns(reader), Json::array({text_turn("user", question), text_turn("assistant", answer)}));
  read_context(reader, example);
  std::vector<std::string> used = reader.used();
  used.emplace_back("context");  // of a question, where the task says so
  refuse_context(record, used, where, "leave it out");
  return example;
}

Example read_chat_record(const Json& record, const std::string& where, NeedsAnswer needs_answer) {
  Example example{.where = where};
  if (record.is_array()) {
    example.messages = read_turns(record, where);
  } else {
    if (!record.is_object()) {
      throw Error(concat(where, ": expected a JSON object or a list of turns, found ", record.type_name()));
    }
    RecordReader reader(record, where);
    example.messages = listed_turns(reader);
    if (example.messages.is_null()) example.messages = pair_turns(reader);
    if (example.messages.is_null()) {
      throw Error(concat(where,
                         ": expected messages, conversations, prompt with completion, or instruction with output, "
                         "found ",
                         names_of(record)));
    }
    read_context(reader, example);
    if (needs_answer == NeedsAnswer::kYes) refuse_bad_answer(reader);
    const std::string hint = "leave it out, or name it as data records do (docs/formats.md)";
    refuse_unused(record, kContextKeys, reader.used(), where, hint);
    refuse_unused(record, kQuestionKeys, reader.used(), where, hint);
  }
  if (needs_answer == NeedsAnswer::kYes && std::none_of(example.messages.begin(), example.messages.end(), is_learnt)) {
    throw Error(concat(where, ": expected a turn of the assistant, found none"));
  }
  if (example.messages.empty()) throw Error(concat(where, ": expected turns, found none"));
  return example;
}

}  // namespace loraxs
