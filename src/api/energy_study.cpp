#include "api/energy_study.h"

#include <algorithm>

#include "adapt/fresh_head.h"
#include "adapt/job_key.h"
#include "adapt/merge.h"
#include "api/predictor.h"
#include "api/task_encoder.h"
#include "io/error.h"
#include "io/seeds.h"
#include "train/recipe_layout.h"
#include "train/task_gradient.h"

namespace loraxs {
namespace {

/// The head that the loss goes through: the adapter's, or a fresh one.
Bank head_bank(const BaseModel& model, const std::optional<OpenedAdapter>& adapter, const Task& task, uint64_t seed) {
  if (adapter) {
    check_head(adapter->file, adapter->bank->layout->head, task);
    return *adapter->bank;
  }
  return fresh_head(model, task_head("full", task, *model.architecture, "study"), job_key(seed, task.name));
}

}  // namespace

EnergyStudy study_energy(const BaseModel& model, const std::optional<OpenedAdapter>& adapter, const Task& task,
                         const EnergyStudyOptions& options) {
  const std::vector<Site> sites = list_sites(*model.architecture, model.config);
  for (const Site& site : sites) {
    if (options.rank <= std::min(site.in_features, site.out_features)) continue;
    throw Error(concat("--rank: expected at most ", std::min(site.in_features, site.out_features), " (", site.name,
                       "), found ", options.rank));
  }
  if (task.language_model() != (model.architecture->kind == ModelKind::kDecoder)) {
    throw Error(concat("--task ", task.name, ": expected a task for ", model.architecture->model_type,
                       ", found one for ", task.language_model() ? "language models" : "encoders"));
  }
  std::vector<Example> examples = task.train.empty() ? task.validation : task.train;
  if (examples.empty()) throw Error(concat("--data: ", task.name, ": expected examples, found none"));
  examples.resize(std::min<size_t>(examples.size(), options.examples));
  const auto tokenizer = tokenizer_of(model);
  const ExampleView encoded = TaskEncoder(*tokenizer, model.folder)
                                  .encode(task, examples, std::min(options.max_length, model.config.max_length()));
  if (encoded.size() == 0) throw Error("--max-length: expected room for an answer, found none in any example");
  const BaseModel at = adapter ? merge_model(model, *adapter->basis, *adapter->bank, 0) : model;
  const TaskGradient gradient = task_gradient(at, head_bank(model, adapter, task, options.seed), encoded);
  EnergyStudy study{.examples = encoded.size(), .loss = gradient.loss};
  study.sites.reserve(sites.size());
  for (const Site& site : sites) {  // the basis is the base's, whatever is merged
    study.sites.push_back({site, captured_energies(model.site_weight(site), gradient.weights.at(site.name),
                                                   options.rank, derive_seed(options.seed, site.name))});
  }
  return study;
}

}  // namespace loraxs
