#include "api/samples.h"

#include <algorithm>

#include "generate/cached_model.h"
#include "generate/scheduler.h"
#include "generate/text_stream.h"
#include "io/error.h"

namespace loraxs {
namespace {

/// A sample as an example whose question is asked; `at` names it in errors.
Example sample_example(const nlohmann::json& sample, const Task& task, const std::string& at) {
  if (sample.is_string() && task.name != "chat") return {.first = sample.get<std::string>(), .where = at};
  Example example{.where = at};
  if (sample.is_string()) {
    const nlohmann::ordered_json turn = {{"role", "user"}, {"content", sample.get<std::string>()}};
    example.messages = nlohmann::ordered_json::array({turn});
  } else {
    const bool messages = sample.is_array() && !sample.empty() &&
                          std::all_of(sample.begin(), sample.end(), [](const auto& turn) { return turn.is_object(); });
    if (!messages) {
      throw Error(concat(at, ": expected a text, or a list of messages {role: …, content: …}, found ",
                         shortened(json_text(sample), 60)));
    }
    example.messages = sample;
  }
  example.messages.push_back({{"role", "assistant"}, {"content", ""}});  // the answer that is asked for
  return example;
}

std::string sample_name(const nlohmann::json& sample) {
  if (sample.is_string()) return sample.get<std::string>();
  std::string name;
  for (const nlohmann::json& turn : sample) {
    const nlohmann::json content = turn.value("content", nlohmann::json());
    name += (name.empty() ? "" : "\n") + turn.value("role", std::string("?")) + ": " +
            (content.is_string() ? content.get<std::string>() : json_text(content));
  }
  return name;
}

}  // namespace

SamplePrompts::SamplePrompts(const nlohmann::json& samples, const Task& task, const TaskEncoder& encoder,
                             const Tokenizer& tokenizer, int64_t max_new_tokens, int64_t context,
                             const std::string& where)
    : tokenizer_(tokenizer), max_new_tokens_(max_new_tokens) {
  if (samples.is_null()) return;
  if (!samples.is_array()) {
    throw Error(
        concat(where, ": train.samples: expected a list of prompts, found ", shortened(json_text(samples), 60)));
  }
  if (!samples.empty() && !task.language_model()) {
    throw Error(concat(where, ": train.samples: expected none for ", task.name, ", whose model writes no text"));
  }
  for (const nlohmann::json& sample : samples) {
    const std::string at = concat(where, ": train.samples[", prompts_.size(), "]");
    const std::vector<int32_t> prompt = encoder.question(sample_example(sample, task, at), /*as_trained=*/true);
    check_prompt(at, prompt, tokenizer.vocab_size(), context, max_new_tokens);
    longest_ = std::max(longest_, std::min(context, static_cast<int64_t>(prompt.size()) + max_new_tokens));
    prompts_.push_back(prompt);
    names_.push_back(sample_name(sample));
  }
}

std::vector<TrainSample> SamplePrompts::answer(AdaptedModel& model, const std::vector<int64_t>& slots) const {
  torch::NoGradGuard no_grad;
  constexpr int64_t kTogether = 16;
  const auto count = static_cast<int64_t>(prompts_.size() * slots.size());
  const int64_t together = std::min(kTogether, count);
  CachedModel cached(model, together * KvCache::blocks_for(longest_));
  Scheduler scheduler(cached, {.context = longest_, .max_sequences = together, .end_ids = tokenizer_.eos_ids()});
  std::vector<TrainSample> answers;
  std::vector<TextStream> streams;
  for (const int64_t slot : slots) {
    for (const std::string& name : names_) {
      answers.push_back({.slot = slot, .prompt = name});
      streams.emplace_back(tokenizer_, std::vector<std::string>());
    }
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    scheduler.submit({.name = "sample",
                      .prompt = prompts_[i % prompts_.size()],
                      .slot = answers[i].slot,
                      .max_new_tokens = max_new_tokens_,
                      .on_token =
                          [&, i](int64_t, const SampledToken& token) {
                            answers[i].text += streams[i].push(token.id);
                            return true;
                          },
                      .on_finish =
                          [&, i](int64_t, FinishReason, const std::string& error) {
                            answers[i].text += error.empty() ? streams[i].finish() : " [" + error + "]";
                          }});
  }
  while (scheduler.step()) {
  }
  return answers;
}

}  // namespace loraxs
