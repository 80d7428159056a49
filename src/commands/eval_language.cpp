#include "commands/eval_language.h"

#include <chrono>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "api/adapters.h"
#include "api/graded_task.h"
#include "commands/session.h"
#include "eval/score.h"
#include "io/error.h"
#include "io/sha256.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

/// How the task is scored: the options, or what the task says where they are silent.
struct Plan {
  std::string by;
  const Grader* grader = nullptr;
  AnswerOptions answering;
};

Plan plan_of(const EvalOptions& options, const Task& task) {
  Plan plan{.by = options.by, .grader = find_grader(task.name)};
  if (plan.by == "auto") plan.by = plan.grader == nullptr ? "loss" : "generation";
  if (plan.by != "loss" && plan.grader == nullptr) {
    std::string graded;
    for (const std::string& name : graded_tasks()) graded += (graded.empty() ? "" : ", ") + name;
    throw Error(concat("--by ", plan.by, ": expected a task with a grader (", graded, "), found ", task.name,
                       "; take --by loss"));
  }
  if (plan.by == "choices" && task.name != "commonsense") {
    throw Error(concat("--by choices: expected commonsense, whose questions offer choices, found ", task.name));
  }
  if (plan.by == "loss" && !options.answers.empty()) {
    throw Error("--answers: expected --by generation or choices, found loss, which has no answers");
  }
  if (plan.by != "generation") return plan;
  DecodingOptions text = options.text;
  if (text.max_new_tokens == 0) text.max_new_tokens = plan.grader->max_new_tokens;
  SearchOptions search = options.search;
  if (search.beams == 0) search.beams = text.temperature == 0 ? plan.grader->beams : 1;
  plan.answering = {.sampling = sampling_of(text),
                    .search = beams_of(search),
                    .max_new_tokens = text.max_new_tokens,
                    .stop = text.stop.empty() ? plan.grader->stops : text.stop,
                    .batch = options.batch};
  plan.answering.check("command line");
  return plan;
}

/// All that an answer depends on beside its question.
Json settings_of(const Plan& plan, const EvalOptions& options, const TextModel& model, const Task& task) {
  const std::string& adapter = options.text.adapter.adapter;
  Json settings = {{"task", task.name},
                   {"by", plan.by},
                   {"base_id", model.base().base_id},
                   {"adapter", adapter.empty() ? Json() : Json(sha256_of_file(adapter))},
                   {"precision", c10::toString(resolve_precision(options.text.adapter.precision))},
                   {"prompt", options.prompt},
                   {"context", model.context()}};
  if (plan.by != "generation") return settings;
  const SamplingOptions& sampling = plan.answering.sampling;
  settings.update({{"max_new_tokens", plan.answering.max_new_tokens},
                   {"beams", plan.answering.search.beams},
                   {"length_penalty", plan.answering.search.length_penalty},
                   {"early_stopping", options.search.early_stopping},
                   {"temperature", sampling.temperature},
                   {"top_k", sampling.top_k},
                   {"top_p", sampling.top_p},
                   {"min_p", sampling.min_p},
                   {"repetition_penalty", sampling.repetition_penalty},
                   {"seed", sampling.seed},
                   {"stop", plan.answering.stop}});
  return settings;
}

/// A line every few seconds: how far, how well so far, how much longer.
class Progress {
 public:
  Progress(LogSink log, const char* first, const char* second) : log_(std::move(log)), first_(first), second_(second) {}

  void operator()(int64_t done, int64_t right_first, int64_t right_second, int64_t all) {
    ++answered_;
    const auto now = std::chrono::steady_clock::now();
    constexpr auto kBetween = std::chrono::seconds(2);
    if (!log_ || (now - shown_ < kBetween && done < all)) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const auto left = static_cast<int64_t>(seconds / static_cast<double>(answered_) * static_cast<double>(all - done));
    const auto share = [&](int64_t right) { return static_cast<double>(right) / static_cast<double>(done); };
    constexpr int64_t kMinute = 60;
    log_(LogLevel::kInfo,
         concat("answers=", done, "/", all, " ", first_, "=", share(right_first), " ", second_, "=",
                share(right_second), " eta=", left / kMinute, ":", left % kMinute < 10 ? "0" : "", left % kMinute));
  }

 private:
  LogSink log_;
  const char *first_, *second_;
  int64_t answered_ = 0;  // by this run
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now(), shown_ = begin_;
};

/// Mean loss over the targets, and what follows from it.
struct HeldOut {
  double loss = 0;
  int64_t examples = 0, targets = 0;
};

HeldOut held_out(TextModel& model, const TaskEncoder& encoder, const Task& task, int64_t slot,
                 const EvalOptions& options) {
  EncodedExamples encoded;
  if (task.windows) {
    if (options.window > model.context()) {
      throw Error(
          concat("--window: expected at most the context of ", model.context(), " tokens, found ", options.window));
    }
    encoded = encoder.encode_windows(task, options.window, options.stride);
  } else {
    encoded = encoder.encode(task, task.validation, model.context());
  }
  if (encoded.size() == 0) throw Error(concat(options.task.data, ": expected examples to score, found none"));
  const TargetLosses losses = target_losses(model.model(), encoded, {slot});
  const int64_t targets = std::accumulate(losses.targets.begin(), losses.targets.end(), int64_t{0});
  return {.loss = std::accumulate(losses.sums[0].begin(), losses.sums[0].end(), 0.0) / static_cast<double>(targets),
          .examples = encoded.size(),
          .targets = targets};
}

void print(const Json& result, bool json) {
  if (json) {
    std::cout << result.dump() << '\n';
    return;
  }
  for (const auto& [key, value] : result.items()) {
    if (value.is_number_float()) std::cout << key << ": " << value.get<double>() << '\n';
  }
  std::cout << "on " << result["examples"] << " examples, " << result["targets"] << " target tokens\n";
}

}  // namespace

int run_eval_language(const EvalOptions& options, const CommonOptions& common, const Task& task) {
  const Plan plan = plan_of(options, task);
  const Settings settings = settings_of(common);
  TextModel model(text_model_of(options.text), settings);
  const std::string& adapter = options.text.adapter.adapter;
  const OpenedAdapters opened =
      open_adapters(model.base(), adapter.empty() ? std::vector<std::string>{} : std::vector{adapter},
                    open_options_of(options.text.adapter), settings);
  for (const AdapterFile& file : opened.files) warn_on_drift(file, settings.log);
  model.use(opened.basis, opened.set());
  const int64_t slot = adapter.empty() ? kNoSlot : 0;
  const TaskEncoder encoder(model.tokenizer(), model.base().folder);

  Json result = {{"metric", plan.by == "loss" ? "loss" : "accuracy"}, {"value", 0.0}};
  if (plan.by != "loss") {
    const bool choices = plan.by == "choices";
    const char *first = choices ? "by_sum" : "strict", *second = choices ? "by_mean" : "compatible";
    std::optional<AnswersFile> answers;
    if (!options.answers.empty()) answers.emplace(options.answers, settings_of(plan, options, model, task));
    const GradedTask graded{.task = task,
                            .grader = *plan.grader,
                            .encoder = encoder,
                            .slot = slot,
                            .as_trained = options.prompt == "training",
                            .answers = answers ? &*answers : nullptr,
                            .progress = Progress(settings.log, first, second)};
    const GradedScore score = choices ? weigh_choices(model, graded) : grade_answers(model, graded, plan.answering);
    result["value"] = score.first;
    result[first] = score.first;
    result[second] = score.second;
  }
  const HeldOut loss = held_out(model, encoder, task, slot, options);
  if (plan.by == "loss") result["value"] = loss.loss;
  result.update({{"loss", loss.loss}, {"perplexity", std::exp(loss.loss)}});
  result["examples"] = plan.by == "loss" ? loss.examples : static_cast<int64_t>(task.validation.size());
  result["targets"] = loss.targets;
  if (task.windows)
    result.update({{"window", options.window}, {"stride", options.stride == 0 ? options.window : options.stride}});
  print(result, common.json);
  return 0;
}

}  // namespace loraxs
