#include "eval/graders/math.h"

#include <functional>
#include <optional>
#include <vector>

#include "eval/graders/answer_text.h"
#include "eval/graders/expression.h"
#include "eval/graders/math_form.h"
#include "eval/graders/numbers.h"
#include "io/error.h"

namespace loraxs {
namespace {

/// Without the dollar signs around it and the full stop behind it.
std::string without_ends(std::string text) {
  if (text.ends_with('.')) text.pop_back();
  text = trimmed(text);
  constexpr size_t kPair = 2;
  if (text.size() >= kPair && text.front() == '$' && text.back() == '$')
    text = trimmed(text.substr(1, text.size() - kPair));
  return text;
}

std::optional<std::string> boxed_answer(const std::string& text) {
  if (const auto behind = text_after_last(text, kAnswerMark)) {
    const std::string line = without_ends(trimmed(behind->substr(0, behind->find('\n'))));
    const auto boxed = last_boxed(line);
    return boxed ? trimmed(*boxed) : line;
  }
  const auto boxed = last_boxed(text);
  return boxed ? std::optional(trimmed(*boxed)) : std::nullopt;
}

std::optional<std::string> reference_answer(const std::string& text) {
  const auto behind = text_after_last(text, kAnswerMark);
  if (!behind) return std::nullopt;
  std::string answer = trimmed(behind->substr(0, behind->find(".\n")));
  if (answer.ends_with('.')) answer.pop_back();
  return trimmed(answer);
}

/// The parts of "(a, b)" or "[a, b]"; empty for anything else. Commas inside brackets and braces do not part.
std::vector<std::string> tuple_parts(const std::string& text) {
  const bool brackets =
      text.size() > 2 && ((text.front() == '(' && text.back() == ')') || (text.front() == '[' && text.back() == ']'));
  if (!brackets) return {};
  std::vector<std::string> parts(1);
  int64_t depth = 0;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] == '(' || text[i] == '[' || text[i] == '{') ++depth;
    if (text[i] == ')' || text[i] == ']' || text[i] == '}') --depth;
    if (text[i] == ',' && depth == 0) {
      parts.emplace_back();
    } else {
      parts.back() += text[i];
    }
  }
  return parts;
}

using Equal = std::function<bool(const std::string&, const std::string&)>;

bool equal_tuples(const std::string& x, const std::string& y, const Equal& equal) {
  const std::vector<std::string> xs = tuple_parts(x), ys = tuple_parts(y);
  if (xs.size() < 2 || xs.size() != ys.size() || x.front() != y.front()) return false;
  for (size_t i = 0; i < xs.size(); ++i) {
    if (!equal(trimmed(xs[i]), trimmed(ys[i]))) return false;
  }
  return true;
}

bool equal_strictly(const std::string& x, const std::string& y) {
  constexpr double kRounding = 1e-9;
  return x == y || equal_expressions(x, y, kRounding) || equal_tuples(x, y, equal_strictly);
}

std::string without_brackets(const std::string& text) {
  std::string plain;
  for (const char c : text) {
    if (c != '{' && c != '}' && c != '(' && c != ')') plain += c;
  }
  return plain;
}

bool equal_compatibly(const std::string& prediction, const std::string& gold) {
  if (prediction == gold) return true;
  const auto said = python_number(prediction), right = python_number(gold);
  if (said && right) return percent_close(*said, *right);
  constexpr double kTolerance = 1e-4;
  return !prediction.empty() &&
         (without_brackets(prediction) == without_brackets(gold) || equal_tuples(prediction, gold, equal_compatibly) ||
          equal_expressions(prediction, gold, kTolerance));
}

}  // namespace

std::string math_gold(const std::string& answer) {
  const auto boxed = last_boxed(answer);
  if (boxed) return *boxed;
  const auto behind = boxed_answer(answer);
  if (!behind) throw Error("answer: expected \\boxed{…} or \"The answer is: \", found neither");
  return *behind;
}

Grade grade_math(const std::string& text, const std::string& gold) {
  Grade grade;
  const MathForm right = math_form(gold);
  if (const auto answer = boxed_answer(strict_text(text))) {
    grade.strict_answer = *answer;
    grade.strict = !answer->empty() && equal_strictly(math_form(*answer).text, right.text);
  }
  if (const auto answer = reference_answer(compatible_text(text))) {
    grade.compatible_answer = *answer;
    const MathForm said = math_form(*answer);
    grade.compatible = said.reference_fails || right.reference_fails || equal_compatibly(said.text, right.text);
  }
  return grade;
}

}  // namespace loraxs
