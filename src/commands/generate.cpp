#include "cli/subcommands/generate.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "api/answers.h"
#include "api/prompt_adapters.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "data/chat_record.h"
#include "data/chat_turns.h"
#include "data/json_records.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/json.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

struct Prompt {
  std::string where;    // "prompts.jsonl:3"
  std::string text;     // empty where a conversation asks
  std::string adapter;  // file; empty = none
  std::optional<Example> conversation;
  nlohmann::ordered_json record;  // the line, which the result carries on; null: --prompt
};

/// What a line of this run's results says itself.
std::vector<const char*> result_keys(const GenerateOptions& options) {
  std::vector<const char*> keys = {"text", "tokens", "finish_reason", "error"};
  if (options.search.beams > 1) keys.push_back("score");
  if (options.samples > 1) keys.push_back("answers");
  return keys;
}
/// What the command line says for all lines.
constexpr std::array<const char*, 13> kSettingKeys = {
    "max_tokens", "max_new_tokens", "temperature", "top_p",     "top_k",    "min_p", "repetition_penalty",
    "seed",       "stop",           "n",           "num_beams", "logprobs", "model"};

/// The prompt of a line: raw text under `prompt`, or with --chat and in every other shape a conversation.
Prompt read_prompt(nlohmann::ordered_json record, const std::string& where, const GenerateOptions& options) {
  Prompt prompt{.where = where, .adapter = options.text.adapter.adapter};
  if (record.is_object()) {
    for (const char* key : kSettingKeys) {
      if (record.contains(key)) {
        throw Error(concat(where, ": ", key,
                           ": expected it on the command line, for all lines, found it in one; leave it out"));
      }
    }
    for (const char* key : result_keys(options)) {
      if (!record.contains(key)) continue;
      throw Error(concat(where, ": ", key, ": expected no key that results have, found one; rename it"));
    }
    for (const auto& [key, value] : record.items()) {
      if (key == "adapter" || !nearest_name(key, {"adapter"})) continue;
      throw Error(concat(where, ": ", key, ": unknown key; did you mean adapter?"));
    }
    if (record.contains("adapter") && !record["adapter"].is_null())
      prompt.adapter = record_text(record, "adapter", where);
  }
  const bool raw = !options.chat && record.is_object() && record.contains("prompt") && record["prompt"].is_string();
  if (raw) {
    refuse_context(record, {}, where, "--chat renders it by the model's template");
    prompt.text = record["prompt"].get<std::string>();
  } else {
    Example conversation = read_chat_record(record, where, NeedsAnswer::kNo);
    const bool has_system = conversation.messages[0]["role"] == "system";
    if (!options.text.system.empty() && !has_system) {
      conversation.messages.insert(conversation.messages.begin(), text_turn("system", options.text.system));
    }
    prompt.conversation = std::move(conversation);
  }
  prompt.record = std::move(record);
  return prompt;
}

std::vector<Prompt> read_prompts(const GenerateOptions& options) {
  const std::string& adapter = options.text.adapter.adapter;
  if (options.input.empty() && !options.prompt) throw Error("generate: expected --prompt or --input, found neither");
  if (options.input.empty()) {
    check_typed(*options.prompt, "--prompt");
    check_typed(options.text.system, "--system");
    if (!options.chat && !options.text.system.empty()) {
      throw Error("generate: --system: expected --chat beside it, found a plain prompt, which has no turns");
    }
    Prompt prompt{.where = "--prompt", .text = *options.prompt, .adapter = adapter};
    if (options.chat) prompt.conversation = Example{.messages = {text_turn("user", *options.prompt)}};
    if (options.chat && !options.text.system.empty()) {
      prompt.conversation->messages.insert(prompt.conversation->messages.begin(),
                                           text_turn("system", options.text.system));
    }
    return {prompt};
  }
  if (options.prompt) throw Error("generate: expected --prompt or --input, found both");
  std::istringstream file(read_text_file(options.input));
  std::vector<Prompt> prompts;
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = concat(options.input, ":", number);
    prompts.push_back(read_prompt(parse_ordered_json(line, where, kDataLimits), where, options));
  }
  if (prompts.empty()) throw Error(concat(options.input, ": expected a prompt a line, found none"));
  return prompts;
}

nlohmann::json logprob_entry(const Tokenizer& tokenizer, int32_t id, float logprob) {
  return {{"id", id}, {"text", tokenizer.decode(std::vector{id}, /*skip_special=*/false)}, {"logprob", logprob}};
}

nlohmann::json logprob_entries(const Tokenizer& tokenizer, const Answer& answer, int64_t top) {
  nlohmann::json entries = nlohmann::json::array();
  for (const SampledToken& token : answer.sampled) {
    nlohmann::json entry = logprob_entry(tokenizer, token.id, token.logprob);
    if (top > 0) {
      entry["top"] = nlohmann::json::array();
      for (const TokenLogprob& likely : token.top)
        entry["top"].push_back(logprob_entry(tokenizer, likely.id, likely.logprob));
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

nlohmann::ordered_json fields_of(const Answer& answer, const Tokenizer& tokenizer, const GenerateOptions& options) {
  nlohmann::ordered_json fields = {
      {"text", answer.text}, {"tokens", answer.tokens}, {"finish_reason", answer.finish_reason}};
  if (!answer.error.empty()) fields["error"] = answer.error;
  if (options.search.beams > 1) fields["score"] = answer.score;
  if (options.logprobs >= 0) fields["logprobs"] = logprob_entries(tokenizer, answer, options.logprobs);
  return fields;
}

/// Each sentence once: the draws of a prompt that cannot be asked say the same. False: no answer failed.
bool print_errors(const std::vector<Answer>& answers) {
  const std::string* said = nullptr;
  for (const Answer& answer : answers) {
    if (answer.error.empty() || (said != nullptr && *said == answer.error)) continue;
    std::cerr << "loraxs: " << safe_message(answer.error) << '\n';
    said = &answer.error;
  }
  return said != nullptr;
}

/// The text of a conversation's last turn; empty where it is no text.
std::string last_turn(const Prompt& prompt) {
  const nlohmann::ordered_json& turn = prompt.conversation->messages.back();
  return turn.contains("content") && turn["content"].is_string() ? turn["content"].get<std::string>() : "";
}

/// The first answer's fields stand beside the prompt; of several, all are listed too. Failed answers have no text for
/// people.
void print_answers(const Prompt& prompt, const std::vector<Answer>& answers, const Tokenizer& tokenizer,
                   const GenerateOptions& options, bool json, bool one) {
  if (!json) {
    for (const Answer& answer : answers) {
      if (!answer.error.empty()) continue;
      // A continuation follows its prompt directly; a turn of a conversation does not.
      const std::string before = one ? "" : prompt.conversation ? "> " + last_turn(prompt) + "\n" : prompt.text;
      std::cout << before << answer.text << (one || !prompt.conversation ? "\n" : "\n\n");
    }
    std::cout << std::flush;
    return;
  }
  nlohmann::ordered_json line = {{"prompt", prompt.text}};
  if (prompt.record.is_object()) line = prompt.record;
  if (prompt.record.is_array()) line = {{"messages", prompt.record}};
  line.update(fields_of(answers.front(), tokenizer, options));
  if (!prompt.adapter.empty()) line["adapter"] = prompt.adapter;
  if (options.samples > 1) {
    line["answers"] = nlohmann::ordered_json::array();
    for (const Answer& answer : answers) line["answers"].push_back(fields_of(answer, tokenizer, options));
  }
  std::cout << json_text(line) << '\n' << std::flush;
}

AnswerOptions answering_of(const GenerateOptions& options) {
  AnswerOptions answering{.sampling = sampling_of(options.text),
                          .search = beams_of(options.search),
                          .samples = options.samples,
                          .max_new_tokens = options.text.max_new_tokens,
                          .stop = options.text.stop,
                          .ignore_eos = options.ignore_eos,
                          .batch = options.batch};
  answering.sampling.top_logprobs = options.logprobs;
  answering.check("command line");
  return answering;
}

}  // namespace

int run(const GenerateOptions& options, const CommonOptions& common) {
  const AnswerOptions answering = answering_of(options);
  const std::vector<Prompt> prompts = read_prompts(options);
  if (prompts.empty()) return 0;
  const Settings settings = settings_of(common);
  std::optional<Progress> waiting(std::in_place, settings.log);
  waiting->begin("loading");
  TextModel model(text_model_of(options.text, /*prefers_int8=*/true), settings);
  std::vector<std::string> names;
  names.reserve(prompts.size());
  for (const Prompt& prompt : prompts) names.push_back(prompt.adapter);
  const PromptAdapters adapters(model, names, options.text.adapter.adapter, open_options_of(options.text.adapter),
                                settings);
  std::vector<Question> questions;
  for (const Prompt& prompt : prompts) {
    const std::string error = adapters.error(prompt.where, prompt.adapter);
    const auto encode = [&] {
      return prompt.conversation ? model.encode(*prompt.conversation) : model.encode(prompt.text);
    };
    questions.push_back(error.empty() ? make_question(prompt.where, encode, adapters.slot(prompt.adapter))
                                      : Question{.name = prompt.where, .error = error});
  }
  // Answers come out in the order of the prompts.
  std::vector<std::vector<Answer>> done(prompts.size());
  size_t next = 0;
  bool failed = false;
  waiting->begin("generating");
  answer_questions(model, questions, answering, [&](size_t index, std::vector<Answer> answers) {
    waiting.reset();  // from here on the answers tell
    done[index] = std::move(answers);
    for (; next < done.size() && !done[next].empty(); ++next) {
      print_answers(prompts[next], done[next], model.tokenizer(), options, common.json, prompts.size() == 1);
      failed = print_errors(done[next]) || failed;
    }
  });
  if (!common.quiet && model.times().prompt_tokens > 0) {
    std::cerr << "precision=" << model.precision() << ' ' << model.times().since({}) << '\n';
  }
  return failed ? 2 : 0;
}

}  // namespace loraxs
