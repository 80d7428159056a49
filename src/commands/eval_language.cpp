#include "commands/eval_language.h"

#include <chrono>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
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

/// Mean loss over the targets of the examples that have one.
struct HeldOut {
  double loss = 0;
  int64_t examples = 0, targets = 0;
  std::vector<std::string> failures;  // a sentence for each of the others
};

/// The examples that can be encoded; a sentence for each of the others.
EncodedExamples encode_each(const TaskEncoder& encoder, const Task& task, int64_t context, std::vector<size_t>& indices,
                            std::vector<std::string>& failures) {
  EncodedExamples all;
  for (size_t i = 0; i < task.validation.size(); ++i) {
    try {
      const EncodedExamples one = encoder.encode(task, {task.validation[i]}, context);
      if (one.size() > 0) {  // else the context leaves nothing of the answer
        all.encodings.push_back(one.encodings.front());
        all.targets.push_back(one.targets.front());
        indices.push_back(i);
      }
    } catch (const Error& error) {
      failures.push_back(question_error(example_name(task, i), error.what()));
    }
  }
  return all;
}

HeldOut held_out(TextModel& model, const TaskEncoder& encoder, const Task& task, int64_t slot,
                 const EvalOptions& options) {
  HeldOut result;
  EncodedExamples encoded;
  std::vector<size_t> indices;  // of examples; none where windows are scored
  if (task.windows) {
    if (options.window > model.context()) {
      throw Error(
          concat("--window: expected at most the context of ", model.context(), " tokens, found ", options.window));
    }
    encoded = encoder.encode_windows(task, options.window, options.stride);
  } else {
    encoded = encode_each(encoder, task, model.context(), indices, result.failures);
  }
  const TargetLosses losses = target_losses(model.model(), encoded, {slot});
  for (size_t i = 0; i < losses.targets.size(); ++i) {
    const double sum = losses.sums[0][i];
    if (!std::isfinite(sum)) {
      result.failures.push_back(
          concat(task.windows ? concat(options.task.data, ": window ", i + 1) : example_name(task, indices[i]),
                 ": expected a finite loss, found ", sum));
      continue;
    }
    result.loss += sum;
    result.targets += losses.targets[i];
    ++result.examples;
  }
  if (result.targets == 0 && result.failures.empty()) {
    throw Error(concat(options.task.data, ": expected examples to score, found none"));
  }
  result.loss /= static_cast<double>(result.targets);  // NaN, which JSON writes as null, where all failed
  return result;
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
  if (result.contains("failed")) std::cout << result["failed"] << " failed; standard error says why\n";
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
  const auto tell = [](const std::string& failure) { std::cerr << "loraxs: " << failure << '\n'; };
  int64_t failed = 0;
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
                            .progress = Progress(settings.log, first, second),
                            .on_failure = tell};
    const GradedScore score = choices ? weigh_choices(model, graded) : grade_answers(model, graded, plan.answering);
    result["value"] = score.first;
    result[first] = score.first;
    result[second] = score.second;
    failed = score.failed;
  }
  const HeldOut loss = held_out(model, encoder, task, slot, options);
  for (const std::string& failure : loss.failures) tell(failure);
  if (plan.by == "loss") {
    result["value"] = loss.loss;
    failed = static_cast<int64_t>(loss.failures.size());
  }
  result.update({{"loss", loss.loss}, {"perplexity", std::exp(loss.loss)}});
  result["examples"] = plan.by == "loss" ? loss.examples : static_cast<int64_t>(task.validation.size());
  result["targets"] = loss.targets;
  if (task.windows)
    result.update({{"window", options.window}, {"stride", options.stride == 0 ? options.window : options.stride}});
  if (failed > 0) result["failed"] = failed;
  print(result, common.json);
  return failed > 0 || !loss.failures.empty() ? 2 : 0;
}

}  // namespace loraxs
