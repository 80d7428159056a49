// How far the rows of two seeds lie apart, and whether the adapter between them works: linear connectivity.
#include "adapt/combine.h"
#include "adapt/distance.h"
#include "api/adapters.h"
#include "api/predictor.h"
#include "api/studies/arms.h"
#include "api/studies/tuned_model.h"
#include "api/training.h"
#include "io/error.h"

namespace loraxs {

StudyFindings run_seed(const Study& study, const StudyRequest& request) {
  StudyFindings findings{.table = {.columns = {{"task"},
                                               {"seeds"},
                                               {"cosine of ΔW"},
                                               {"distance / length"},
                                               {"first"},
                                               {"second"},
                                               {"their mean"}}},
                         .answer = {}};
  const std::vector<std::filesystem::path> recipes = study_recipes(study, request);
  StudyRuns runs(study, request, 3 * recipes.size());
  for (const std::filesystem::path& path : recipes) {
    const Arm arm{.name = "LoRA-XS r = 16", .changes = {"method.rank=16"}};
    const ArmScores scores = train_arm(study, runs, path, arm);
    const Recipe recipe = with_found_data(study_recipe(study, request, path, arm.changes), path.string());
    const Task task = recipe_task(recipe, path.string());
    runs.begin_part(task.name + ", means of pairs");
    const BaseModel model = open_model(recipe.model, request.settings);
    std::vector<std::string> files;
    std::vector<int64_t> seeds;
    for (const auto& [seed, score] : scores.scores) {
      files.push_back(adapter_of_seed(scores.runs, seed).string());
      seeds.push_back(seed);
    }
    const OpenedAdapters opened = open_adapters(model, files, {}, request.settings);
    const torch::Tensor at = delta_coordinates(opened.banks, *opened.basis);  // [seeds, coordinates]
    const auto count = static_cast<int64_t>(seeds.size());
    std::shared_ptr<Bank> means;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = i + 1; j < count; ++j) {
        Bank mean = combine({{.bank = opened.banks[static_cast<size_t>(i)].get(), .row = 0, .weight = 0.5},
                             {.bank = opened.banks[static_cast<size_t>(j)].get(), .row = 0, .weight = 0.5}},
                            {});
        if (means) {
          means->add(mean.values[0], mean.entries[0]);
        } else {
          means = std::make_shared<Bank>(std::move(mean));
        }
      }
    }
    if (!means) throw Error(concat(path.string(), ": train.seeds: expected at least two for this study"));
    const std::vector<TaskScore> between = score_rows(
        {.model = model, .files = opened.files, .basis = opened.basis, .bank = means}, recipe.train.precision, task);
    ScoresBySeed losses;  // by pair: the mean's score less that of the two
    size_t pair = 0;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = i + 1; j < count; ++j, ++pair) {
        const double length = (at[i].norm() * at[j].norm()).sqrt().item<double>();
        const double first = scores.scores.at(seeds[static_cast<size_t>(i)]),
                     second = scores.scores.at(seeds[static_cast<size_t>(j)]);
        losses[static_cast<int64_t>(pair)] = between[pair].value - (first + second) / 2;
        findings.table.rows.push_back(
            {task.name, concat(seeds[static_cast<size_t>(i)], " and ", seeds[static_cast<size_t>(j)]),
             at[i].dot(at[j]).item<double>() / (length * length), (at[i] - at[j]).norm().item<double>() / length, first,
             second, between[pair].value});
      }
    }
    const Estimate loss = estimate_mean(losses);
    findings.answer += concat(findings.answer.empty() ? "" : "\n", task.name,
                              ": the mean of two seeds against their own scores: ", told_difference(loss, task.metric),
                              "; pairs share seeds, so the error is rather too small.");
    if (request.on_part) request.on_part(findings);
  }
  return findings;
}

}  // namespace loraxs
