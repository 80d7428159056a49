// The studies, a row each.
#include <algorithm>
#include <optional>

#include "api/studies/arms.h"
#include "api/studies/estimate.h"
#include "io/error.h"
#include "io/fields.h"

namespace loraxs {
namespace {

constexpr const char* kEncoderRecipes = "studies/glue";

}  // namespace

const std::vector<Study>& studies() {
  static const std::vector<Study> all = {
      {"glue", "Does LoRA-XS reach LoRA, VeRA and full fine-tuning with far fewer numbers?",
       "Table 1, RoBERTa-large: ranks 25, 20 and 16 (60K to 24.6K numbers) are above LoRA and VeRA on the average of "
       "six "
       "tasks, rank 25 above full fine-tuning too; rank 4 (1.5K) is 4 points below (claims C1-C3).",
       StudyTasks::kEncoder, kEncoderRecipes, compare_by<glue_comparison>, estimate_by<glue_comparison>},
      {"parameters", "How does the score fall with the number of trained parameters?",
       "Figure 1: gently; LoRA-XS is above the others' curve everywhere, and goes below LoRA's smallest size (C7).",
       StudyTasks::kEncoder, kEncoderRecipes, run_parameters, estimate_by<glue_comparison>},
      {"init", "Does the SVD of W start better than random bases?",
       "Table 4, rank 4: on CoLA, MRPC and QNLI by 1.6 to 2.1 points, on SST-2 not; Table 14: it comes on faster in "
       "the "
       "first epochs (C6).",
       StudyTasks::kEncoder, kEncoderRecipes, run_init, estimate_by<init_comparison>},
      {"vectors", "Are the top singular vectors of W the right ones?", "Appendix G: top wins consistently over bottom.",
       StudyTasks::kEncoder, kEncoderRecipes, compare_by<vectors_comparison>, estimate_by<vectors_comparison>},
      {"sigma", "Do the singular values belong into A?",
       "Appendix H: better with them in most cases, on one task without.", StudyTasks::kEncoder, kEncoderRecipes,
       compare_by<sigma_comparison>, estimate_by<sigma_comparison>},
      {"importance", "Which singular vectors of a tuned model hold the task?",
       "Appendix D: the top ones of attention and feed-forward weights keep most; middle and bottom add little.",
       StudyTasks::kEncoder, kEncoderRecipes, run_importance, estimate_nothing},
      {"delta", "Does what tuning changed lie on a few singular vectors of W?",
       "Appendix E: query, key, value and attention output lose almost nothing on 1 % or 10 % of them, top or bottom; "
       "output dense layers need more.",
       StudyTasks::kEncoder, kEncoderRecipes, run_delta, estimate_nothing},
      {"budget", "Is a fixed number of parameters better spent on more modules?",
       "§5, preliminary: smaller ranks on more modules beat larger ranks on fewer.", StudyTasks::kEncoder,
       kEncoderRecipes, compare_by<budget_comparison>, estimate_by<budget_comparison>},
      {"storage", "What do a million adapters take?",
       "§1, GPT-3, rank 16, 16 bit: 144 TB of LoRA, 96 GB of LoRA-XS (binary megabytes times a million).",
       StudyTasks::kNone, "", run_storage, estimate_nothing},
      {"speed", "What does a step of each method cost?", "§3: nothing beside LoRA; merged, no latency is added.",
       StudyTasks::kEncoder, kEncoderRecipes, run_speed, estimate_nothing},
      {"instruct", "Does LoRA-XS tune language models as LoRA does?",
       "Tables 2 and 3: rank 64 matches LoRA on GSM8K with 150 times fewer numbers and trails on MATH; rank 32 is "
       "above "
       "LoRA on LLaMA3-8B and below on LLaMA2-7B (C4, C5).",
       StudyTasks::kLanguage, "studies/instruct", compare_by<instruct_comparison>, estimate_by<instruct_comparison>},
      {"combine", "Can two tasks live in one row?", "Not in the paper.", StudyTasks::kEncoder, kEncoderRecipes,
       run_combine, estimate_nothing},
      {"seed", "How far apart are the rows of two seeds, and does their mean work?", "Not in the paper.",
       StudyTasks::kEncoder, kEncoderRecipes, run_seed, estimate_nothing},
      {"size", "Do the conclusions hold for models of 6, 4 and 2 layers?", "Not in the paper.", StudyTasks::kEncoder,
       kEncoderRecipes, run_size, estimate_nothing},
      {"basis", "Is another basis better than W's: the task gradient's, or W's on the task's texts?",
       "Not in the paper; LoRA-SB says so of the gradient's.", StudyTasks::kEncoder, kEncoderRecipes,
       compare_by<basis_comparison>, estimate_by<basis_comparison>},
      {"spend", "Does a rank for each module by its gradient's energy beat one rank for all?", "Not in the paper.",
       StudyTasks::kEncoder, kEncoderRecipes, run_spend, estimate_nothing},
      {"personal", "What is a personal adapter worth?", "Not in the paper, which promises a model for each user.",
       StudyTasks::kEither, "studies/personal", run_personal, estimate_personal},
  };
  return all;
}

const Study& find_study(const std::string& name) {
  std::vector<std::string> names;
  names.reserve(studies().size());
  for (const Study& study : studies()) {
    if (name == study.name) return study;
    names.emplace_back(study.name);
  }
  std::string all;
  for (const std::string& known : names) all += (all.empty() ? "" : ", ") + known;
  const std::optional<std::string> near = nearest_name(name, names);
  throw Error(concat("study: expected energy, all or one of ", all, ", found ", name,
                     near ? concat("; did you mean ", *near, "?") : ""));
}

std::vector<std::filesystem::path> study_recipes(const Study& study, const StudyRequest& request) {
  if (!request.recipes.empty()) return request.recipes;
  std::vector<std::filesystem::path> recipes;
  std::error_code code;
  for (std::filesystem::directory_iterator entry(study.recipes, code), end; !code && entry != end;
       entry.increment(code)) {
    if (entry->path().extension() == ".yaml") recipes.push_back(entry->path());
  }
  if (recipes.empty()) {
    throw Error(concat("study ", study.name, ": expected recipes in ", study.recipes,
                       ", found none; start in the folder of the sources, or name a recipe"));
  }
  std::sort(recipes.begin(), recipes.end());
  return recipes;
}

}  // namespace loraxs
