#include "commands/eval_language.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/adapters.h"
#include "api/graded_task.h"
#include "batch/token_budget.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "data/tasks/records.h"
#include "eval/score.h"
#include "io/error.h"
#include "io/json.h"
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

/// What would change nothing is said rather than ignored.
void refuse_unread_options(const std::string& by, const EvalOptions& options, const Task& task) {
  const EvalOptions none;
  const char* given = by == "generation" ? nullptr : given_answer_option(options);
  if (given != nullptr) {
    throw Error(
        concat(given, ": expected --by generation, found ", by, " of ", task.name, ", which asks for no texts"));
  }
  const bool cuts = options.window != none.window || options.stride != none.stride;
  if (cuts && !task.windows) {
    throw Error(concat(options.window != none.window ? "--window" : "--stride", ": expected task text, found ",
                       task.name, ", whose examples are scored whole"));
  }
}

Plan plan_of(const EvalOptions& options, const Task& task) {
  Plan plan{.by = options.by, .grader = find_grader(task.name)};
  if (plan.by == "auto") plan.by = plan.grader == nullptr ? "loss" : "generation";
  if (plan.by != "loss" && plan.grader == nullptr) {
    std::string graded;
    for (const std::string& name : graded_tasks()) graded += (graded.empty() ? "" : ", ") + name;
    throw Error(concat("--by ", plan.by, ": expected a task with a grader (", graded, "), found ", task.name,
                       "; take --by loss"));
  }
  if (plan.by == "choices" && !is_commonsense(task.name)) {
    throw Error(concat("--by choices: expected commonsense, whose questions offer choices, found ", task.name));
  }
  if (plan.by == "loss" && !options.answers.empty()) {
    throw Error("--answers: expected --by generation or choices, found loss, which has no answers");
  }
  refuse_unread_options(plan.by, options, task);
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

/// The model with the adapter that the options name, ready to be asked.
struct Asked {
  TextModel& model;
  const TaskEncoder& encoder;
  std::string adapter_digest;  // SHA-256 of the adapter's file, of a sum's row; empty: no adapter
  int64_t slot = kNoSlot;
};

/// All that an answer depends on beside its question.
Json answer_settings(const Plan& plan, const EvalOptions& options, const Asked& asked, const Task& task) {
  Json settings = {{"task", task.name},
                   {"by", plan.by},
                   {"base_id", asked.model.base().base_id},
                   {"adapter", asked.adapter_digest.empty() ? Json() : Json(asked.adapter_digest)},
                   {"precision", asked.model.precision()},
                   {"prompt", options.prompt},
                   {"context", asked.model.context()}};
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

/// Windows of plain text; with --limit the first so many.
EncodedExamples encode_windows_of(const Asked& asked, const Task& task, const EvalOptions& options) {
  if (options.window > asked.model.context()) {
    throw Error(
        concat("--window: expected at most the context of ", asked.model.context(), " tokens, found ", options.window));
  }
  EncodedExamples windows = asked.encoder.encode_windows(task, options.window, options.stride);
  if (options.task.limit > 0 && options.task.limit < windows.size()) {
    windows.encodings.resize(options.task.limit);
    windows.targets.resize(options.task.limit);
  }
  return windows;
}

HeldOut held_out(const Asked& asked, const Task& task, const EvalOptions& options, Progress& progress) {
  HeldOut result;
  std::vector<size_t> indices;  // of examples; none where windows are scored
  progress.begin("tokenizing");
  const ExampleView encoded = task.windows
                                  ? encode_windows_of(asked, task, options)
                                  : encode_each(asked.encoder, task, asked.model.context(), indices, result.failures);
  progress.begin("loss", static_cast<int64_t>(batches_by_tokens(encoded.lengths(), kTokensPerBatch).size()));
  const TargetLosses losses = target_losses(asked.model.model(), encoded, {asked.slot}, [&, first = true]() mutable {
    if (!first) progress.step();  // asked before each batch
    first = false;
  });
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

/// A set's own file beside the one that was named: answers.jsonl, answers.boolq.jsonl.
std::string answers_path(const EvalOptions& options, const Task& task, bool several) {
  const std::filesystem::path path = options.answers;
  if (!several || options.answers.empty()) return options.answers;
  return (path.parent_path() / concat(path.stem().string(), ".", task.name, path.extension().string())).string();
}

/// One task's numbers, as --json prints them; "failed" counts what failed of what was to be scored.
Json score_language_task(const Asked& asked, const Task& task, const EvalOptions& options, bool several,
                         Progress& progress) {
  const Plan plan = plan_of(options, task);
  Json result = {{"metric", plan.by == "loss" ? "loss" : "accuracy"}, {"value", 0.0}};
  const auto tell = [](const std::string& failure) { std::cerr << "loraxs: " << safe_message(failure) << '\n'; };
  int64_t failed = 0;
  if (plan.by != "loss") {
    const bool choices = plan.by == "choices";
    const char *first = choices ? "by_sum" : "strict", *second = choices ? "by_mean" : "compatible";
    std::optional<AnswersFile> answers;
    const std::string path = answers_path(options, task, several);
    const Json about = {{"model", options.text.adapter.model}, {"adapter", options.text.adapter.adapter}};
    if (!path.empty()) answers.emplace(path, answer_settings(plan, options, asked, task), about);
    const std::string stage = several ? task.name : "answers";
    progress.begin(stage, static_cast<int64_t>(task.validation.size()));
    const auto tell_progress = [&](int64_t done, int64_t right_first, int64_t right_second, int64_t) {
      const auto share = [&](int64_t right) { return static_cast<double>(right) / static_cast<double>(done); };
      progress.at(done, concat(first, "=", share(right_first), " ", second, "=", share(right_second)));
    };
    const GradedTask graded{.task = task,
                            .grader = *plan.grader,
                            .encoder = asked.encoder,
                            .slot = asked.slot,
                            .as_trained = options.prompt == "training",
                            .answers = answers ? &*answers : nullptr,
                            .progress = tell_progress,
                            .on_failure = tell};
    const GradedScore score =
        choices ? weigh_choices(asked.model, graded) : grade_answers(asked.model, graded, plan.answering);
    result["value"] = score.first;
    result[first] = score.first;
    result[second] = score.second;
    failed = score.failed;
  }
  const HeldOut loss = held_out(asked, task, options, progress);
  for (const std::string& failure : loss.failures) tell(failure);
  if (plan.by == "loss") result["value"] = loss.loss;
  failed = std::max(failed, static_cast<int64_t>(loss.failures.size()));
  result.update({{"loss", loss.loss}, {"perplexity", std::exp(loss.loss)}});
  result["examples"] = plan.by == "loss" ? loss.examples : static_cast<int64_t>(task.validation.size());
  result["targets"] = loss.targets;
  if (task.windows)
    result.update({{"window", options.window}, {"stride", options.stride == 0 ? options.window : options.stride}});
  if (failed > 0) result["failed"] = failed;
  return result;
}

/// The mean over the sets, each weighing the same, as the paper's tables have it.
Json mean_of_sets(const Json& sets, const std::vector<std::string>& absent) {
  Json result = {{"metric", sets.front()["metric"]}, {"value", 0.0}};
  for (const char* key : {"strict", "compatible", "by_sum", "by_mean", "loss"}) {
    if (!sets.front().contains(key)) continue;
    double sum = 0;
    for (const Json& set : sets) sum += set[key].get<double>();
    result[key] = sum / static_cast<double>(sets.size());
  }
  int64_t examples = 0, failed = 0;
  double sum = 0;
  for (const Json& set : sets) {
    sum += set["value"].get<double>();
    examples += set["examples"].get<int64_t>();
    failed += set.value("failed", int64_t{0});
  }
  result["value"] = sum / static_cast<double>(sets.size());
  result["examples"] = examples;
  result["sets"] = sets;
  if (!absent.empty()) result["absent"] = absent;
  if (failed > 0) result["failed"] = failed;
  return result;
}

void print_task(const Json& result) {
  for (const auto& [key, value] : result.items()) {
    if (key != "value" && value.is_number_float()) std::cout << key << ": " << value.get<double>() << '\n';
  }
  std::cout << "on " << result["examples"] << " examples, " << result["targets"] << " target tokens\n";
}

/// A row per set and the mean.
void print_sets(const Json& result) {
  const bool choices = result.contains("by_sum"), graded = choices || result.contains("strict");
  const char *first = choices ? "by_sum" : graded ? "strict" : "loss", *second = choices ? "by_mean" : "compatible";
  std::cout << "| set | " << first << (graded ? concat(" | ", second) : "") << " | examples |\n"
            << (graded ? "|---|---|---|---|\n" : "|---|---|---|\n");
  const auto row = [&](const std::string& name, const Json& values) {
    std::cout << "| " << name << " | " << values[first].get<double>();
    if (graded) std::cout << " | " << values[second].get<double>();
    std::cout << " | " << values["examples"] << " |\n";
  };
  for (const Json& set : result["sets"]) row(set["task"], set);
  row(concat("mean of ", result["sets"].size()), result);
  if (!result.contains("absent")) return;
  std::string absent;
  for (const Json& name : result["absent"]) absent += (absent.empty() ? "" : ", ") + name.get<std::string>();
  std::cout << "absent, and not in the mean: " << absent << '\n';
}

}  // namespace

const char* given_answer_option(const EvalOptions& options) {
  const EvalOptions none;
  const DecodingOptions &text = options.text, &default_text = none.text;
  const SearchOptions &search = options.search, &default_search = none.search;
  const std::pair<const char*, bool> given[] = {
      {"--max-new-tokens", text.max_new_tokens != default_text.max_new_tokens},
      {"--temperature", text.temperature != default_text.temperature},
      {"--top-k", text.top_k != default_text.top_k},
      {"--top-p", text.top_p != default_text.top_p},
      {"--min-p", text.min_p != default_text.min_p},
      {"--repetition-penalty", text.repetition_penalty != default_text.repetition_penalty},
      {"--seed", text.seed != default_text.seed},
      {"--stop", !text.stop.empty()},
      {"--beams", search.beams != default_search.beams},
      {"--length-penalty", search.length_penalty != default_search.length_penalty},
      {"--early-stopping", search.early_stopping != default_search.early_stopping}};
  for (const auto& [name, said] : given) {
    if (said) return name;
  }
  return nullptr;
}

int run_eval_language(const EvalOptions& options, const CommonOptions& common, const EvalTasks& tasks) {
  for (const Task& task : tasks.tasks) plan_of(options, task);  // what the options cannot mean is said before the work
  const Settings settings = settings_of(common);
  Progress progress(settings.log);
  progress.begin("loading");
  TextModel model(text_model_of(options.text), settings);
  const std::string& adapter = options.text.adapter.adapter;
  const OpenedAdapters opened =
      open_adapters(model.base(), adapter.empty() ? std::vector<std::string>{} : std::vector{adapter},
                    open_options_of(options.text.adapter), settings);
  for (const AdapterFile& file : opened.files) warn_on_drift(file, settings.log);
  model.use(opened.basis, opened.set());
  const TaskEncoder encoder(model.tokenizer(), model.base().folder);
  Asked asked{.model = model, .encoder = encoder};
  if (!adapter.empty()) {
    asked.slot = 0;
    asked.adapter_digest = std::filesystem::exists(adapter) ? sha256_of_file(adapter) : opened.files.front().row_digest;
  }
  Json scores = Json::array();
  for (const Task& task : tasks.tasks) {
    Json score = {{"task", task.name},
                  {"model", options.text.adapter.model},
                  {"adapter", adapter},
                  {"precision", model.precision()}};
    score.update(score_language_task(asked, task, options, tasks.several, progress));
    scores.push_back(std::move(score));
  }
  Json result = scores.front();
  if (tasks.several) {
    result = {{"task", "commonsense"},
              {"model", options.text.adapter.model},
              {"adapter", adapter},
              {"precision", model.precision()}};
    result.update(mean_of_sets(scores, tasks.absent));
  }
  if (common.json) {
    std::cout << json_text(result) << '\n';
  } else if (tasks.several) {
    print_sets(result);
  } else {
    print_task(result);
  }
  const bool failed = result.contains("failed");
  if (failed && !common.json) std::cout << result["failed"] << " failed; standard error says why\n";
  return failed ? 2 : 0;
}

}  // namespace loraxs
