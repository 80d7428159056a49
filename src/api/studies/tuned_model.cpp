#include "api/studies/tuned_model.h"

#include "adapt/merge.h"
#include "api/predictor.h"
#include "api/studies/arms.h"
#include "api/training.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "io/text_file.h"
#include "train/job.h"

namespace loraxs {
std::filesystem::path adapter_of_seed(const std::vector<std::filesystem::path>& runs, int64_t seed) {
  for (const std::filesystem::path& run : runs) {
    const Recipe recipe = read_recipe(run / "recipe.yaml", {});
    const nlohmann::json done = parse_json(read_text_file(run / "result.json"), run.string());
    for (const Job& job : make_jobs(recipe.train, done.at("task"))) {
      const bool chosen = job.learning_rate == done.at("learning_rate").get<double>() &&
                          job.head_learning_rate == done.at("head_learning_rate").get<double>();
      if (chosen && job.seed == seed) return run / job.name / "best.safetensors";
    }
  }
  throw Error(concat("study: seed ", seed, ": expected a run of it, found none"));
}

TunedModels tuned_models(const Study& study, StudyRuns& runs, const std::filesystem::path& path) {
  const Arm arm = full_arm();
  const ArmScores scores = train_arm(study, runs, path, arm);
  const Recipe recipe = with_found_data(study_recipe(study, runs.request(), path, arm.changes), path.string());
  TunedModels tuned{.base = open_model(recipe.model, runs.request().settings),
                    .task = recipe_task(recipe, path.string()),
                    .precision = recipe.train.precision};
  tuned.models.reserve(scores.scores.size());
  for (const auto& [seed, score] : scores.scores) {
    const OpenedAdapter opened =
        open_adapter_on_model(tuned.base, adapter_of_seed(scores.runs, seed), {}, runs.request().settings);
    TunedModel model{.seed = seed, .weights = merge_model(tuned.base, *opened.basis, *opened.bank, 0)};
    model.head = {.model = model.weights,
                  .file = opened.file,
                  .basis = std::make_shared<Basis>(),
                  .bank = std::make_shared<Bank>(head_of(*opened.bank, 0))};
    tuned.models.push_back(std::move(model));
  }
  if (tuned.models.empty()) throw Error(concat(path.string(), ": full fine-tuning: expected a score, found none"));
  return tuned;
}

double score_of(const TunedModels& tuned, const TunedModel& model, const BaseModel& weights) {
  OpenedAdapter opened = model.head;
  opened.model = weights;
  return score_task(opened, tuned.precision, tuned.task).value;
}

KeptNumbers::KeptNumbers(const std::filesystem::path& folder, const std::string& name)
    : path_(folder / (name + ".json")), numbers_(nlohmann::json::object()) {
  if (!std::filesystem::exists(path_)) return;
  const nlohmann::json read = json_or_null(read_text_file(path_));
  if (read.is_object()) numbers_ = read;
}

double KeptNumbers::at(const std::string& name, const std::function<double()>& measure) {
  const auto found = numbers_.find(name);
  if (found != numbers_.end() && found->is_number()) return found->get<double>();
  const double value = measure();
  numbers_[name] = value;
  write_file_atomically(path_, json_text(numbers_) + "\n", Existing::kReplaced);
  return value;
}

}  // namespace loraxs
