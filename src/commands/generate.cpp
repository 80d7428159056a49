#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "api/adapters.h"
#include "api/answers.h"
#include "commands/commands.h"
#include "commands/session.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

struct Prompt {
  std::string where;  // "prompts.jsonl:3"
  std::string text;
  std::string adapter;  // file; empty = none
};

std::vector<Prompt> read_prompts(const GenerateOptions& options) {
  const std::string& adapter = options.text.adapter.adapter;
  if (options.input.empty() && !options.prompt) throw Error("generate: expected --prompt or --input, found neither");
  if (options.input.empty()) return {{.where = "--prompt", .text = *options.prompt, .adapter = adapter}};
  if (options.prompt) throw Error("generate: expected --prompt or --input, found both");
  std::istringstream file(read_text_file(options.input));
  std::vector<Prompt> prompts;
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = concat(options.input, ":", number);
    nlohmann::json object = parse_json(line, where, kRecordLimits);
    if (!object.is_object()) throw Error(concat(where, ": expected a JSON object with \"prompt\""));
    Fields fields(std::move(object), where);
    if (!fields.has("prompt")) fields.fail("prompt", "expected a text, found nothing");
    prompts.push_back({.where = where, .text = fields.text("prompt", ""), .adapter = fields.text("adapter", adapter)});
    fields.finish();
  }
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
  if (options.search.beams > 1) fields["score"] = answer.score;
  if (options.logprobs >= 0) fields["logprobs"] = logprob_entries(tokenizer, answer, options.logprobs);
  return fields;
}

/// The first answer's fields stand beside the prompt; of several, all are listed too.
void print(const Prompt& prompt, const std::vector<Answer>& answers, const Tokenizer& tokenizer,
           const GenerateOptions& options, bool json, bool one) {
  if (!json) {
    for (const Answer& answer : answers) std::cout << (one ? "" : prompt.text) << answer.text << '\n';
    std::cout << std::flush;
    return;
  }
  nlohmann::ordered_json line = {{"prompt", prompt.text}};
  line.update(fields_of(answers.front(), tokenizer, options));
  if (!prompt.adapter.empty()) line["adapter"] = prompt.adapter;
  if (options.samples > 1) {
    line["answers"] = nlohmann::ordered_json::array();
    for (const Answer& answer : answers) line["answers"].push_back(fields_of(answer, tokenizer, options));
  }
  std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
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

int run_generate(const GenerateOptions& options, const CommonOptions& common) {
  const AnswerOptions answering = answering_of(options);
  const std::vector<Prompt> prompts = read_prompts(options);
  if (prompts.empty()) return 0;
  const Settings settings = settings_of(common);
  TextModel model(text_model_of(options.text), settings);
  std::vector<std::string> paths;  // slot i is paths[i]
  for (const Prompt& prompt : prompts) {
    if (!prompt.adapter.empty() && std::find(paths.begin(), paths.end(), prompt.adapter) == paths.end())
      paths.push_back(prompt.adapter);
  }
  const OpenedAdapters opened = open_adapters(model.base(), paths, open_options_of(options.text.adapter), settings);
  for (const AdapterFile& file : opened.files) warn_on_drift(file, settings.log);
  model.use(opened.basis, opened.set());

  std::vector<Question> questions;
  for (const Prompt& prompt : prompts) {
    questions.push_back({.name = prompt.where,
                         .prompt = options.chat ? model.encode(question(options.text.system, prompt.text))
                                                : model.encode(prompt.text)});
    if (!prompt.adapter.empty())
      questions.back().slot = std::find(paths.begin(), paths.end(), prompt.adapter) - paths.begin();
  }
  // Answers come out in the order of the prompts.
  std::vector<std::vector<Answer>> done(prompts.size());
  size_t next = 0;
  answer_questions(model, std::move(questions), answering, [&](size_t index, std::vector<Answer> answers) {
    done[index] = std::move(answers);
    for (; next < done.size() && !done[next].empty(); ++next)
      print(prompts[next], done[next], model.tokenizer(), options, common.json, prompts.size() == 1);
  });
  return 0;
}

}  // namespace loraxs
