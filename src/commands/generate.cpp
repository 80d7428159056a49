#include <algorithm>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "api/adapters.h"
#include "api/text_model.h"
#include "commands/commands.h"
#include "commands/session.h"
#include "generate/text_stream.h"
#include "io/error.h"
#include "io/fields.h"

namespace loraxs {
namespace {

struct Prompt {
  std::string where;  // "prompts.jsonl:3"
  std::string text;
  std::string adapter;  // file; empty = none
};

struct Answer {
  std::string text;
  int64_t tokens = 0;
  std::string finish_reason;
  nlohmann::json logprobs = nlohmann::json::array();
  bool done = false;
};

std::vector<Prompt> read_prompts(const GenerateOptions& options) {
  const std::string& adapter = options.text.adapter.adapter;
  if (options.input.empty() && !options.prompt) throw Error("generate: expected --prompt or --input, found neither");
  if (options.input.empty()) return {{.where = "--prompt", .text = *options.prompt, .adapter = adapter}};
  if (options.prompt) throw Error("generate: expected --prompt or --input, found both");
  std::ifstream file(options.input);
  if (!file) throw Error(concat(options.input, ": cannot open"));
  std::vector<Prompt> prompts;
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = concat(options.input, ":", number);
    nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
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

void print(const Prompt& prompt, const Answer& answer, bool json, bool logprobs, bool one) {
  if (!json) {
    std::cout << (one ? "" : prompt.text) << answer.text << '\n' << std::flush;
    return;
  }
  nlohmann::ordered_json line = {{"prompt", prompt.text},
                                 {"text", answer.text},
                                 {"tokens", answer.tokens},
                                 {"finish_reason", answer.finish_reason}};
  if (!prompt.adapter.empty()) line["adapter"] = prompt.adapter;
  if (logprobs) line["logprobs"] = answer.logprobs;
  std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
}

}  // namespace

int run_generate(const GenerateOptions& options, const CommonOptions& common) {
  SamplingOptions sampling = sampling_of(options.text);
  sampling.top_logprobs = options.logprobs;
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
  const auto count = static_cast<int64_t>(prompts.size());
  Scheduler& scheduler = model.scheduler(std::min(count, options.batch), options.ignore_eos);

  std::vector<Answer> answers(prompts.size());
  std::vector<std::unique_ptr<TextStream>> streams;
  for (size_t i = 0; i < prompts.size(); ++i) {
    streams.push_back(std::make_unique<TextStream>(model.tokenizer(), options.text.stop));
    GenerationRequest request{.name = prompts[i].where, .sampling = sampling};
    request.max_new_tokens = options.text.max_new_tokens;
    if (!prompts[i].adapter.empty())
      request.slot = std::find(paths.begin(), paths.end(), prompts[i].adapter) - paths.begin();
    request.prompt =
        options.chat ? model.encode(question(options.text.system, prompts[i].text)) : model.encode(prompts[i].text);
    Answer& answer = answers[i];
    TextStream& stream = *streams[i];
    request.on_token = [&answer, &stream, &model, &options](const SampledToken& token) {
      ++answer.tokens;
      answer.text += stream.push(token.id);
      if (options.logprobs >= 0) {
        nlohmann::json entry = logprob_entry(model.tokenizer(), token.id, token.logprob);
        if (options.logprobs > 0) {
          entry["top"] = nlohmann::json::array();
          for (const TokenLogprob& likely : token.top)
            entry["top"].push_back(logprob_entry(model.tokenizer(), likely.id, likely.logprob));
        }
        answer.logprobs.push_back(std::move(entry));
      }
      return !stream.stopped();
    };
    request.on_finish = [&answer, &stream](FinishReason reason) {
      answer.text += stream.finish();
      answer.finish_reason = finish_reason_name(reason);
      answer.done = true;
    };
    scheduler.submit(std::move(request));
  }
  // Every prompt was accepted: nothing is printed before that. Answers come out in the order of the prompts.
  for (size_t next = 0; next < answers.size();) {
    scheduler.step();
    while (next < answers.size() && answers[next].done) {
      print(prompts[next], answers[next], common.json, options.logprobs >= 0, prompts.size() == 1);
      ++next;
    }
  }
  return 0;
}

}  // namespace loraxs
