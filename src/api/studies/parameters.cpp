// Figure 1: the mean over tasks against trained parameters, from the runs of `glue`.
#include <algorithm>
#include <map>

#include "api/studies/arms.h"

namespace loraxs {
namespace {

struct MeanScore {
  Arm arm;
  int64_t parameters = 0;
  std::map<int64_t, std::vector<double>> by_seed;  // scores of the tasks
};

}  // namespace

StudyFindings run_parameters(const Study& study, const StudyRequest& request) {
  Comparison comparison = glue_comparison(request);
  comparison.best_epoch = false;
  const size_t tasks = study_recipes(study, request).size();
  std::vector<MeanScore> means;
  means.reserve(comparison.arms.size());
  for (const Arm& arm : comparison.arms) means.push_back({.arm = arm});
  const std::vector<ArmScores> scores = run_comparison(study, request, comparison);
  if (scores.empty()) return {.answer = "Nothing is trained yet.", .complete = false};
  for (const ArmScores& each : scores) {
    const auto mean = std::find_if(means.begin(), means.end(),
                                   [&](const MeanScore& other) { return other.arm.name == each.arm.name; });
    mean->parameters = each.parameters;
    for (const auto& [seed, score] : each.scores) mean->by_seed[seed].push_back(score);
  }
  StudyFindings findings{.table = {.columns = {{"method"}, {"parameters"}, {"tasks"}, {"seeds"}, {"mean", true}}},
                         .answer = {}};
  std::vector<ArmScores> averages;
  averages.reserve(means.size());
  for (const MeanScore& mean : means) {
    ArmScores average{.task = tasks == 1 ? scores.front().task : "mean of the tasks",
                      .metric = scores.front().metric,
                      .arm = mean.arm,
                      .parameters = mean.parameters};
    for (const auto& [seed, of_seed] : mean.by_seed) {
      if (of_seed.size() != tasks) continue;  // a job of it has no score
      double sum = 0;
      for (const double score : of_seed) sum += score;
      average.scores[seed] = sum / static_cast<double>(tasks);
    }
    if (average.scores.empty()) continue;
    const Estimate estimate = estimate_mean(average.scores);
    findings.table.rows.push_back({mean.arm.name,
                                   static_cast<double>(mean.parameters),
                                   static_cast<double>(tasks),
                                   static_cast<double>(estimate.count),
                                   {estimate.mean, estimate.error}});
    averages.push_back(std::move(average));
  }
  findings.answer = comparison_answer(averages, comparison);
  findings.charts = score_charts(averages);
  findings.complete = averages.size() == means.size();
  return findings;
}

}  // namespace loraxs
