// Tables 4 and 14: three starts at rank 4, and how fast each comes on in the first epoch.
#include <algorithm>

#include "api/studies/arms.h"
#include "api/training.h"
#include "io/error.h"
#include "io/json.h"
#include "io/text_file.h"
#include "train/job.h"

namespace loraxs {
namespace {

constexpr int64_t kEighths = 8;

/// The first epoch of the recipe at the arm's rates, scored on the validation data after each eighth.
Recipe early_recipe(const Study& study, const StudyRequest& request, const std::filesystem::path& path,
                    const ArmScores& scores) {
  Recipe recipe = study_recipe(study, request, path, scores.arm.changes);
  const Recipe found = with_found_data(recipe, path.string());
  const auto examples = static_cast<int64_t>(recipe_task(found, path.string()).train.size());
  const int64_t steps = plan_steps(recipe.train, examples).steps_per_epoch;
  recipe.train.selection = "best_epoch";
  recipe.train.seeds.resize(1);
  recipe.train.learning_rate = {scores.learning_rate};
  recipe.train.head_learning_rate = {scores.head_learning_rate};
  recipe.train.eval_every = std::max<int64_t>(1, steps / kEighths);
  recipe.train.epochs = 1;
  return recipe;
}

/// The first eight scores of a run.
std::vector<double> scores_of_run(const std::filesystem::path& run, const std::string& metric) {
  const std::string text = read_text_file(run / "metrics.jsonl");
  std::vector<double> scores;
  for (size_t begin = 0; begin < text.size() && scores.size() < kEighths;) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const nlohmann::json event = json_or_null(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    const bool score = event.is_object() && event.value("event", "") == "evaluation" && event.contains(metric);
    if (score && event[metric].is_number()) scores.push_back(event[metric].get<double>());
  }
  return scores;
}

}  // namespace

Comparison init_comparison(const StudyRequest&) {
  return {.arms = {{"SVD of W", {"method.rank=4", "method.basis.variant=weight"}},
                   {"random", {"method.rank=4", "method.basis.variant=random"}},
                   {"SVD of random", {"method.rank=4", "method.basis.variant=svd_of_random"}}},
          .references = {"SVD of W"}};
}

StudyFindings run_init(const Study& study, const StudyRequest& request) {
  const Comparison comparison = init_comparison(request);
  const std::vector<ArmScores> scores = run_comparison(study, request, comparison);
  const std::vector<std::filesystem::path> recipes = study_recipes(study, request);
  StudyFindings findings{comparison_table(scores, comparison), comparison_answer(scores, comparison),
                         score_charts(scores)};
  for (int64_t eighth = 1; eighth <= kEighths; ++eighth) {
    findings.table.columns.push_back({concat("after ", eighth, "/8 of an epoch")});
    for (std::vector<ResultCell>& row : findings.table.rows) row.emplace_back();
  }
  const size_t first = findings.table.columns.size() - kEighths;
  StudyRuns runs(study, request, scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    const std::filesystem::path& path = recipes[i / comparison.arms.size()];
    const Recipe recipe = early_recipe(study, request, path, scores[i]);
    runs.result(recipe, concat(scores[i].arm.name, ", first epoch"));
    const std::vector<double> curve = scores_of_run(runs.folder_of(recipe), scores[i].metric);
    if (i % comparison.arms.size() == 0) {
      findings.charts.push_back(
          {.title = scores[i].task + ", first epoch", .x_label = "eighths of an epoch", .y_label = scores[i].metric});
    }
    Curve drawn{.name = scores[i].arm.name};
    drawn.points.reserve(curve.size());
    for (size_t eighth = 0; eighth < curve.size(); ++eighth) {
      findings.table.rows[i][first + eighth] = curve[eighth];
      drawn.points.push_back({static_cast<double>(eighth + 1), curve[eighth]});
    }
    findings.charts.back().curves.push_back(std::move(drawn));
    if (request.on_part) request.on_part(findings);
  }
  return findings;
}

}  // namespace loraxs
