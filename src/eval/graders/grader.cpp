#include "eval/graders/grader.h"

#include <algorithm>

#include "data/tasks/records.h"
#include "eval/graders/commonsense.h"
#include "eval/graders/gsm8k.h"
#include "eval/graders/math.h"

namespace loraxs {
namespace {

const std::vector<Grader>& graders() {
  // Headings of the prompt: whoever writes one has ended the answer. The reference stops at their words alone.
  static const std::vector<std::string> headings = {"### Instruction:", "### Response:"};
  static const std::vector<Grader> all = [] {
    std::vector<Grader> rows = {
        {"gsm8k", gsm8k_gold, grade_gsm8k, headings, 1024},
        {"math", math_gold, grade_math, headings, 2048},
        {"metamath", math_gold, grade_math, headings, 2048},
        {"commonsense", commonsense_gold, grade_commonsense, {}, 32, 4},
    };
    for (const char* set : commonsense_sets()) {
      rows.push_back(rows[3]);
      rows.back().task = set;
    }
    return rows;
  }();
  return all;
}

}  // namespace

const Grader* find_grader(const std::string& task) {
  const auto found = std::find_if(graders().begin(), graders().end(), [&](const Grader& g) { return g.task == task; });
  return found == graders().end() ? nullptr : &*found;
}

std::vector<std::string> graded_tasks() {
  std::vector<std::string> names;
  for (const Grader& grader : graders()) names.emplace_back(grader.task);
  return names;
}

}  // namespace loraxs
