// api/studies/tuned_model.h: models that full fine-tuning made, weights and heads apart, for studies that change them.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "api/opened_adapter.h"
#include "api/studies/study_runs.h"
#include "data/task.h"

namespace loraxs {

struct TunedModel {
  int64_t seed = 0;
  BaseModel weights;   // after tuning
  OpenedAdapter head;  // on `weights`: the head alone
};

/// What full fine-tuning of the recipe left: the base, a model for each seed, and the task they are scored on.
struct TunedModels {
  BaseModel base;
  std::vector<TunedModel> models;
  Task task;
  std::string precision;
};
/// Two parts of `runs`. Throws Error where a seed's run came to nothing.
TunedModels tuned_models(const Study& study, StudyRuns& runs, const std::filesystem::path& recipe);

/// The score on the task's validation data of `weights` under the model's head.
double score_of(const TunedModels& tuned, const TunedModel& model, const BaseModel& weights);

/// The best adapter of a seed in these runs, at the rates each run chose. Throws Error where none trained it.
std::filesystem::path adapter_of_seed(const std::vector<std::filesystem::path>& runs, int64_t seed);

/// Numbers that a study has measured, by name, in a file beside its runs: what a stopped one need not measure again.
class KeptNumbers {
 public:
  /// Reads FOLDER/NAME.json, where that is there and whole.
  KeptNumbers(const std::filesystem::path& folder, const std::string& name);
  /// The kept number, or what `measure` gives, kept from now on.
  double at(const std::string& name, const std::function<double()>& measure);

 private:
  std::filesystem::path path_;
  nlohmann::json numbers_;
};

}  // namespace loraxs
