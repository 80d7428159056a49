// §3: bytes, parameters, seconds and memory of every method under one recipe. Times are this machine's: its table alone
// is not the same each time.
#include <algorithm>

#include "api/studies/arms.h"

namespace loraxs {

namespace {

/// None of a run that did not say.
std::optional<double> peak_megabytes(const nlohmann::json& done) {
  constexpr double kMegabyte = 1e6;
  if (!done.contains("peak_memory_bytes")) return {};
  return done.at("peak_memory_bytes").get<double>() / kMegabyte;
}

}  // namespace

StudyFindings run_speed(const Study& study, const StudyRequest& request) {
  constexpr int64_t kSteps = 40;
  const Comparison comparison = glue_comparison(request);
  const std::vector<std::filesystem::path> recipes = study_recipes(study, request);
  StudyRuns runs(study, request, recipes.size() * comparison.arms.size());
  StudyFindings findings{.table = {.columns = {{"task"},
                                               {"method"},
                                               {"parameters"},
                                               {"head parameters"},
                                               {"file bytes"},
                                               {"seconds for 1,000 sentences"},
                                               {"tokens a second"},
                                               {"peak memory, MB"}}},
                         .answer = {}};
  const auto by_time = [](const auto& x, const auto& y) { return *x[5].value < *y[5].value; };
  for (const std::filesystem::path& path : recipes) {
    Chart chart{.title = "seconds for 1,000 sentences", .x_label = "trained parameters", .logarithmic_x = true};
    for (const Arm& arm : comparison.arms) {
      Recipe recipe = study_recipe(study, request, path, arm.changes);
      recipe.train.selection = "best_epoch";
      recipe.train.max_steps = std::min(recipe.train.max_steps > 0 ? recipe.train.max_steps : kSteps, kSteps);
      recipe.train.seeds.resize(1);
      recipe.train.learning_rate.resize(1);
      recipe.train.head_learning_rate.resize(1);
      recipe.task["max_validation_examples"] = 32;
      const nlohmann::json done = runs.result(recipe, arm.name);
      const double seconds = 1000 / done.at("sentences_per_second").get<double>();
      const double parameters = done.at("trained_parameters");
      findings.table.rows.push_back({done.at("task").get<std::string>(), arm.name, parameters,
                                     done.at("head_parameters").get<double>(), done.at("adapter_bytes").get<double>(),
                                     seconds, done.at("tokens_per_second").get<double>(), peak_megabytes(done)});
      chart.curves.push_back({.name = arm.name, .points = {{parameters, seconds}}});
      if (request.on_part) request.on_part(findings);
    }
    findings.charts.push_back(std::move(chart));
    const auto first = findings.table.rows.end() - static_cast<std::ptrdiff_t>(comparison.arms.size());
    const auto [fastest, slowest] = std::minmax_element(first, findings.table.rows.end(), by_time);
    findings.answer += (*first)[0].text + ": fastest " + (*fastest)[1].text + ", " + shown_cell((*fastest)[5]) +
                       " s for 1,000 sentences; slowest " + (*slowest)[1].text + ", " + shown_cell((*slowest)[5]) +
                       " s.\n";
  }
  findings.answer += "One run of 40 steps each: differences of a tenth say nothing.";
  return findings;
}

}  // namespace loraxs
