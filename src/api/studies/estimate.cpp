#include "api/studies/estimate.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "adapt/counts.h"
#include "api/training.h"
#include "io/error.h"
#include "io/json.h"
#include "train/job.h"

namespace loraxs {
namespace {

/// Multiplications and additions a second of one product as large as a layer's, on the threads of this process.
double measured_flops() {
  constexpr int64_t kSize = 512;
  constexpr double kSeconds = 0.1;
  const torch::Tensor x = torch::ones({kSize, kSize});
  torch::mm(x, x);
  const auto begin = std::chrono::steady_clock::now();
  double products = 0, seconds = 0;
  while (seconds < kSeconds) {
    torch::mm(x, x);
    ++products;
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return 2 * static_cast<double>(kSize * kSize * kSize) * products / seconds;
}

/// Weights that a token is multiplied with.
double weights_of(const Recipe& recipe) {
  const ParsedConfig config = read_model_config(recipe.model, recipe.reading());
  return static_cast<double>(count_weights(list_sites(*config.architecture, config.config)));
}

/// By a whole step, of a plain product's speed.
constexpr double kReached = 0.6;

struct DataTokens {
  double train = 0, validation = 0;
  int64_t examples = 0;  // to train on
};

/// Multiplications and additions of one run.
double run_flops(const Recipe& recipe, const DataTokens& data, double weights) {
  const auto jobs = static_cast<double>(recipe.train.learning_rate.size() * recipe.train.head_learning_rate.size() *
                                        recipe.train.seeds.size());
  const double held_out = recipe.train.selection == "split" ? recipe.train.selection_fraction : 0;
  const StepPlan plan = plan_steps(recipe.train, data.examples);
  const double passes = static_cast<double>(plan.total_steps * recipe.train.batch_size) /
                        static_cast<double>(std::max<int64_t>(1, data.examples));
  const auto evaluations = static_cast<double>(plan.epochs);
  const double tokens =
      3 * passes * (1 - held_out) * data.train + evaluations * (held_out * data.train + data.validation);
  return jobs * 2 * weights * tokens;
}

/// What the arm misses, whatever chooses; each training once.
std::vector<Recipe> missing_of(const Study& study, const StudyRequest& request, const std::filesystem::path& path,
                               const Arm& arm, const Comparison& comparison, const StudyRuns& runs) {
  const Recipe recipe = study_recipe(study, request, path, arm.changes);
  std::map<std::string, Recipe> missing;  // by digest
  for (const Protocol& protocol : protocols_of(comparison)) {
    for (Recipe& each : missing_trainings(recipe, runs, protocol.chosen_by)) {
      missing.try_emplace(recipe_digest(each), std::move(each));
    }
  }
  std::vector<Recipe> all;
  all.reserve(missing.size());
  for (auto& [digest, each] : missing) all.push_back(std::move(each));
  return all;
}

}  // namespace

double estimate_tokens(const std::vector<Example>& examples, int64_t max_length) {
  constexpr double kBytes = 4.5, kMarks = 3;
  double tokens = 0;
  for (const Example& example : examples) {
    const double bytes = static_cast<double>(example.first.size() + (example.second ? example.second->size() : 0));
    tokens += std::min(static_cast<double>(max_length), bytes / kBytes + kMarks);
  }
  return tokens;
}

double estimate_seconds(const Recipe& recipe, double tokens) {
  return tokens > 0 ? 2 * weights_of(recipe) * tokens / (kReached * measured_flops()) : 0;
}

double estimate_comparison(const Study& study, const StudyRequest& request, const Comparison& comparison) {
  double work = 0;
  const StudyRuns runs(study, request, 0);
  for (const std::filesystem::path& path : study_recipes(study, request)) {
    std::map<std::string, DataTokens> read;  // by the task's section
    std::map<std::string, double> weights;   // by model
    for (const Arm& arm : comparison.arms) {
      for (const Recipe& missing : missing_of(study, request, path, arm, comparison, runs)) {
        const Recipe recipe = with_found_data(missing, path.string());
        const auto [data, fresh] = read.try_emplace(json_text(recipe.task));
        if (fresh) {
          const Task task = recipe_task(recipe, path.string());
          data->second = {estimate_tokens(task.train, recipe.train.max_length),
                          estimate_tokens(task.validation, recipe.train.max_length),
                          static_cast<int64_t>(task.train.size())};
        }
        const auto [model, unknown] = weights.try_emplace(recipe.model);
        if (unknown) {
          model->second = weights_of(recipe);
        }
        work += run_flops(recipe, data->second, model->second);
        if (request.settings.log) {
          request.settings.log(LogLevel::kInfo, concat("missing=", recipe_digest(missing), " recipe=", path.string(),
                                                       " part=\"", arm.name, "\""));
        }
      }
    }
  }
  return work > 0 ? work / (kReached * measured_flops()) : 0;
}

double estimate_nothing(const Study&, const StudyRequest&) { return 0; }

std::string duration_text(double seconds) {
  constexpr double kMinute = 60, kHour = 3600;
  if (seconds < 2 * kMinute) return concat(std::lround(seconds), " s");
  const auto minutes = static_cast<int64_t>(std::lround(seconds / kMinute));
  if (seconds < kHour) return concat(minutes, " min");
  const int64_t rest = minutes % 60;
  return concat(minutes / 60, " h ", rest < 10 ? "0" : "", rest, " min");
}

}  // namespace loraxs
