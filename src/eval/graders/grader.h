// eval/graders/grader.h: what an answer says and whether it is right, strictly and as the paper's reference code
// counts.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace loraxs {

/// An answer's two verdicts. The reference code of the paper miscounts in known ways (docs/grading.md, "Graders"):
/// `compatible` repeats them, `strict` does not.
struct Grade {
  std::string strict_answer, compatible_answer;  // what was read from the text; empty: nothing
  bool strict = false, compatible = false;
};

/// How a task's answers are drawn and graded.
struct Grader {
  const char* task;
  /// The right answer, read from a record's own answer. Throws Error where it states none.
  std::string (*gold)(const std::string& answer);
  /// `text` is all that was generated, with the stop string that ended it.
  Grade (*grade)(const std::string& text, const std::string& gold);
  std::vector<std::string> stops;  // end a generation; at or behind the reference's own
  int64_t max_new_tokens = 0;      // as the paper
  int64_t beams = 1;
};

/// The grader of a task, null if it has none.
const Grader* find_grader(const std::string& task);
/// Names of the tasks that have one.
std::vector<std::string> graded_tasks();

}  // namespace loraxs
