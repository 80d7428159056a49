// api/studies/comparison.h: ways to train beside each other: rates chosen for each on held-out data, seeds paired.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "api/studies/paired.h"
#include "api/studies/study.h"
#include "api/studies/study_runs.h"

namespace loraxs {

/// A way to train: a name, and what it changes in the recipe.
struct Arm {
  std::string name;
  std::vector<std::string> changes;
  std::string group;    // of arms that one curve joins; empty = its name
  std::string against;  // the arm it is compared with; empty = the comparison's references
};

/// What came of an arm on the task of one recipe.
struct ArmScores {
  std::string task, metric;  // the task with the protocol's suffix
  Arm arm;
  int64_t parameters = 0, file_bytes = 0;
  double learning_rate = 0, head_learning_rate = 0;
  double seconds_per_thousand = 0;          // sentences
  ScoresBySeed scores;                      // of the validation data, at the epoch and rates that held-out data chose
  std::vector<std::filesystem::path> runs;  // that the scores came from, the one that chose rates first
};

/// What chooses rates and epochs: a held-out part of the training data, or, as in the paper, the reported data. Both
/// read the same trainings.
enum class ChosenBy : uint8_t { kHeldOut, kReported };

/// The arm on the recipe: all rates of the grid with the first seed, whose score chooses; then the other seeds at that
/// rate. Two parts of `runs`; a method that starts from a gradient takes one a seed.
ArmScores train_arm(const Study& study, StudyRuns& runs, const std::filesystem::path& recipe, const Arm& arm,
                    ChosenBy chosen_by = ChosenBy::kHeldOut);

/// How a comparison is told.
struct Comparison {
  std::vector<Arm> arms;
  std::vector<std::string> references;  // names of arms that the others are compared with; the table has the first
  bool best_epoch = false;              // once more with epochs and rates chosen on the reported data, as in the paper
};

/// What chooses in a comparison, one after the other, and what that is called behind the task.
struct Protocol {
  ChosenBy chosen_by = ChosenBy::kHeldOut;
  std::string suffix;
};
std::vector<Protocol> protocols_of(const Comparison& comparison);

/// The trainings of an arm's recipe that are not done yet; rates that nobody has chosen yet are the grid's first.
std::vector<Recipe> missing_trainings(const Recipe& recipe, const StudyRuns& runs,
                                      ChosenBy chosen_by = ChosenBy::kHeldOut);

/// Every arm on every recipe, told after each.
std::vector<ArmScores> run_comparison(const Study& study, const StudyRequest& request, const Comparison& comparison);
StudyFindings compare(const Study& study, const StudyRequest& request, const Comparison& comparison);
/// Scores against parameters, a chart for each task.
std::vector<Chart> score_charts(const std::vector<ArmScores>& scores);

/// The table, and a sentence for each arm and reference: better, worse, or that it cannot be told here.
ResultTable comparison_table(const std::vector<ArmScores>& scores, const Comparison& comparison);
std::string comparison_answer(const std::vector<ArmScores>& scores, const Comparison& comparison);
/// "+1.20 ± 0.30 points (5 seeds): better" with what the difference says; `over`: what it was taken over.
std::string told_difference(const Estimate& difference, const std::string& metric, const std::string& over = "seed");
/// "better", "worse", "cannot be told": of a difference of a metric.
std::string conclusion(const Estimate& difference, const std::string& metric);

/// A comparison as a study's row: what it runs and how long that takes.
template <Comparison (*of)(const StudyRequest&)>
StudyFindings compare_by(const Study& study, const StudyRequest& request) {
  return compare(study, request, of(request));
}

}  // namespace loraxs
