// One budget, spread evenly or by what each module's gradient holds: ranks grow where the next one captures most of
// ‖U_rᵀ G V_r‖² for its numbers.

#include <algorithm>

#include "adapt/fresh_head.h"
#include "adapt/job_key.h"
#include "adapt/svd.h"
#include "api/opened_adapter.h"
#include "api/studies/arms.h"
#include "api/task_encoder.h"
#include "api/training.h"
#include "io/error.h"
#include "train/recipe_layout.h"
#include "train/task_gradient.h"

namespace loraxs {
namespace {

constexpr int64_t kEven = 8, kMost = 32;  // rank of the even spending; largest rank of a module

/// Energy that each rank captures, from 1: ‖U_rᵀ G V_r‖².
std::vector<double> captured_by_rank(const torch::Tensor& weight, const torch::Tensor& gradient) {
  const int64_t most = std::min<int64_t>(kMost, std::min(weight.size(0), weight.size(1)));
  const SingularTriples triples = leading_triples(weight, most);
  const torch::Tensor core = triples.u.t().matmul(gradient.to(torch::kFloat64)).matmul(triples.v).square();
  std::vector<double> captured;
  captured.reserve(static_cast<size_t>(most));
  for (int64_t rank = 1; rank <= most; ++rank) {
    captured.push_back(core.slice(0, 0, rank).slice(1, 0, rank).sum().item<double>());
  }
  return captured;
}

struct SiteSpending {
  std::string site;
  std::vector<double> captured;
  int64_t rank = 1;
};

/// The rank above a site's that captures most for what it costs more, and that gain a number.
std::pair<int64_t, double> best_growth(const SiteSpending& site, int64_t left) {
  std::pair<int64_t, double> best = {0, 0};
  for (int64_t rank = site.rank + 1; rank <= static_cast<int64_t>(site.captured.size()); ++rank) {
    const int64_t cost = rank * rank - site.rank * site.rank;
    if (cost > left) break;
    const double gain =
        site.captured[static_cast<size_t>(rank - 1)] - site.captured[static_cast<size_t>(site.rank - 1)];
    if (gain / static_cast<double>(cost) > best.second) best = {rank, gain / static_cast<double>(cost)};
  }
  return best;
}

/// Ranks within `budget` numbers, from 1 for every site.
void spend(std::vector<SiteSpending>& sites, int64_t budget) {
  int64_t left = budget - static_cast<int64_t>(sites.size());
  while (left > 0) {
    SiteSpending* chosen = nullptr;
    std::pair<int64_t, double> best = {0, 0};
    for (SiteSpending& site : sites) {
      const std::pair<int64_t, double> growth = best_growth(site, left);
      if (growth.second > best.second) chosen = &site, best = growth;
    }
    if (chosen == nullptr) return;
    left -= best.first * best.first - chosen->rank * chosen->rank;
    chosen->rank = best.first;
  }
}

/// "method.rank_pattern={site:layers.0.query: 3, …}" for the recipe at hand.
std::string spent_pattern(const Recipe& recipe, const StudyRequest& request, const std::string& where) {
  constexpr size_t kExamples = 128;
  const BaseModel model = open_model(recipe.model, request.settings);
  const Task task = recipe_task(recipe, where);
  std::vector<Example> examples = task.train;
  examples.resize(std::min(examples.size(), kExamples));
  const auto tokenizer = tokenizer_of(model);
  const ExampleView encoded = TaskEncoder(*tokenizer, model.folder).encode(task, examples, recipe.train.max_length);
  const HeadLayout head = task_head(recipe.head, task, *model.architecture, where);
  const TaskGradient gradient = task_gradient(
      model, fresh_head(model, head, job_key(static_cast<uint64_t>(recipe.train.seeds.front()), task.name)), encoded);
  std::vector<SiteSpending> sites;
  const Layout layout = recipe_layout(recipe.method, head, model, where);
  sites.reserve(layout.sites.size());
  for (const Site& site : layout.sites) {
    sites.push_back({site.name, captured_by_rank(model.site_weight(site), gradient.weights.at(site.name))});
  }
  spend(sites, static_cast<int64_t>(sites.size()) * kEven * kEven);
  std::string pattern;
  for (const SiteSpending& site : sites) {
    pattern += concat(pattern.empty() ? "" : ", ", "\"site:", site.site, "\": ", site.rank);
  }
  return concat("method.rank_pattern={", pattern, "}");
}

}  // namespace

StudyFindings run_spend(const Study& study, const StudyRequest& request) {
  const std::vector<std::filesystem::path> recipes = study_recipes(study, request);
  const Comparison comparison{.references = {"one rank"}};
  StudyRuns runs(study, request, 4 * recipes.size());
  std::vector<ArmScores> scores;
  const auto findings = [&] {
    return StudyFindings{comparison_table(scores, comparison), comparison_answer(scores, comparison),
                         score_charts(scores)};
  };
  for (const std::filesystem::path& path : recipes) {
    const std::string rank = concat("method.rank=", kEven);
    const Recipe recipe = with_found_data(study_recipe(study, request, path, {rank}), path.string());
    scores.push_back(train_arm(study, runs, path, {.name = "one rank", .changes = {rank}}));
    const Arm spent{.name = "by gradient energy", .changes = {rank, spent_pattern(recipe, request, path.string())}};
    scores.push_back(train_arm(study, runs, path, spent));
    if (request.on_part) request.on_part(findings());
  }
  return findings();
}

}  // namespace loraxs
