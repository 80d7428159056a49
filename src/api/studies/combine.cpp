// Two tasks in one row: the line between two tasks' adapters, each point scored on both under each task's own head.
#include "adapt/combine.h"

#include "api/adapters.h"
#include "api/predictor.h"
#include "api/studies/arms.h"
#include "api/studies/tuned_model.h"
#include "api/training.h"
#include "io/error.h"

namespace loraxs {
namespace {

constexpr int64_t kPoints = 5;  // from the first adapter to the second

struct TrainedTask {
  Task task;
  std::string precision;
  ArmScores scores;
};

/// Scores of the points of one seed on the task whose head is kept; `head`: 0 the first adapter's, 1 the second's.
std::vector<double> line_scores(const BaseModel& model, const OpenedAdapters& opened, size_t head,
                                const TrainedTask& trained) {
  std::shared_ptr<Bank> bank;
  for (int64_t i = 0; i < kPoints; ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(kPoints - 1);
    Bank point = combine({{.bank = opened.banks[0].get(), .row = 0, .weight = 1 - t},
                          {.bank = opened.banks[1].get(), .row = 0, .weight = t}},
                         {.kind = "take", .take = head});
    if (bank) {
      bank->add(point.values[0], point.entries[0]);
    } else {
      bank = std::make_shared<Bank>(std::move(point));
    }
  }
  std::vector<double> scores;
  scores.reserve(static_cast<size_t>(kPoints));
  for (const TaskScore& score :
       score_rows({.model = model, .files = {opened.files[head]}, .basis = opened.basis, .bank = bank},
                  trained.precision, trained.task)) {
    scores.push_back(score.value);
  }
  return scores;
}

}  // namespace

StudyFindings run_combine(const Study& study, const StudyRequest& request) {
  const std::vector<std::filesystem::path> recipes = study_recipes(study, request);
  if (recipes.size() != 2) {
    throw Error(concat("study combine: expected two recipes, of one model and two tasks, found ", recipes.size()));
  }
  const Arm arm{.name = "LoRA-XS r = 16", .changes = {"method.rank=16"}};
  StudyRuns runs(study, request, 5);
  std::vector<TrainedTask> tasks;
  std::vector<std::string> models;
  tasks.reserve(recipes.size());
  for (const std::filesystem::path& path : recipes) {
    const Recipe recipe = study_recipe(study, request, path, arm.changes);
    models.push_back(recipe.model);
    const Recipe found = with_found_data(recipe, path.string());
    tasks.push_back({recipe_task(found, path.string()), recipe.train.precision, train_arm(study, runs, path, arm)});
  }
  if (models[0] != models[1]) {
    throw Error(concat("study combine: expected one model in both recipes, found ", models[0], " and ", models[1]));
  }
  runs.begin_part("points between");
  const BaseModel model = open_model(models[0], request.settings);
  std::vector<std::vector<ScoresBySeed>> scores(2, std::vector<ScoresBySeed>(static_cast<size_t>(kPoints)));
  for (const auto& [seed, score] : tasks[0].scores.scores) {
    if (!tasks[1].scores.scores.contains(seed)) continue;
    const OpenedAdapters opened = open_adapters(
        model,
        {adapter_of_seed(tasks[0].scores.runs, seed).string(), adapter_of_seed(tasks[1].scores.runs, seed).string()},
        {}, request.settings);
    for (size_t head = 0; head < 2; ++head) {
      const std::vector<double> line = line_scores(model, opened, head, tasks[head]);
      for (size_t i = 0; i < line.size(); ++i) scores[head][i][seed] = line[i];
    }
  }
  StudyFindings findings{.table = {.columns = {{"t"}, {tasks[0].task.name, true}, {tasks[1].task.name, true}}},
                         .answer = {},
                         .charts = {{.title = "between two tasks' adapters", .x_label = "t"}}};
  findings.charts[0].curves = {{.name = tasks[0].task.name}, {.name = tasks[1].task.name}};
  for (size_t i = 0; i < static_cast<size_t>(kPoints); ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(kPoints - 1);
    std::vector<ResultCell> row = {t};
    for (size_t head = 0; head < 2; ++head) {
      const Estimate mean = estimate_mean(scores[head][i]);
      row.emplace_back(mean.mean, mean.error);
      findings.charts[0].curves[head].points.push_back({t, mean.mean, mean.error.value_or(0), {}});
    }
    findings.table.rows.push_back(std::move(row));
  }
  constexpr size_t kMiddle = static_cast<size_t>(kPoints) / 2;
  for (size_t head = 0; head < 2; ++head) {
    const Estimate loss =
        paired_difference(scores[head][kMiddle], scores[head][head == 0 ? 0 : static_cast<size_t>(kPoints) - 1]);
    findings.answer +=
        concat(head == 0 ? "" : "\n", tasks[head].task.name,
               ": half of each against its own adapter: ", told_difference(loss, tasks[head].task.metric), ".");
  }
  return findings;
}

}  // namespace loraxs
