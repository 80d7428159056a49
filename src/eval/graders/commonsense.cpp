#include "eval/graders/commonsense.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "eval/graders/answer_text.h"
#include "io/error.h"

namespace loraxs {
namespace {

constexpr std::array kTruth = {"true", "false"};
constexpr std::array kSolutions = {"solution1", "solution2"};
constexpr std::array kAnswers = {"answer1", "answer2", "answer3", "answer4", "answer5"};
constexpr std::array kEndings = {"ending1", "ending2", "ending3", "ending4"};
constexpr std::array kOptions = {"option1", "option2"};
constexpr std::array<std::span<const char* const>, 5> kFamilies = {kTruth, kSolutions, kAnswers, kEndings, kOptions};

/// The leftmost of `choices` in `text`: the reference's regular expression a|b|c.
std::string first_hit(const std::string& text, std::span<const char* const> choices) {
  size_t at = std::string::npos;
  std::string hit;
  for (const char* choice : choices) {
    const size_t found = text.find(choice);
    if (found < at) {
      at = found;
      hit = choice;
    }
  }
  return hit;
}

/// The choice that the words of `text` name, if they name one alone.
std::string only_choice(const std::string& text, std::span<const char* const> choices) {
  std::string named, word;
  for (size_t i = 0; i <= text.size(); ++i) {
    const auto c = static_cast<unsigned char>(i < text.size() ? text[i] : ' ');
    if (std::isalnum(c) != 0 || c == '_' || c >= 0x80) {
      word += static_cast<char>(c);
      continue;
    }
    if (std::find(choices.begin(), choices.end(), word) != choices.end()) {
      if (!named.empty() && named != word) return "";
      named = word;
    }
    word.clear();
  }
  return named;
}

}  // namespace

std::span<const char* const> choice_family(const std::string& gold) {
  for (const auto family : kFamilies) {
    if (std::find(family.begin(), family.end(), gold) != family.end()) return family;
  }
  return {};
}

std::vector<std::string> offered_choices(const std::string& instruction, const std::string& gold) {
  const auto family = choice_family(gold);
  const auto format = text_after_last(instruction, "Answer format:");
  std::vector<std::string> offered;
  const std::string line = format ? "/" + format->substr(0, format->find_first_of(" \n")) + "/" : "";
  for (const char* choice : family) {
    if (line.find("/" + std::string(choice) + "/") != std::string::npos) offered.emplace_back(choice);
  }
  if (offered.empty()) offered.assign(family.begin(), family.end());
  return offered;
}

std::string commonsense_gold(const std::string& answer) {
  for (const auto family : kFamilies) {
    std::string hit = first_hit(answer, family);
    if (!hit.empty()) return hit;
  }
  throw Error(concat("answer: expected true, solution1, answer1, ending1, option1 or another of their kind, found \"",
                     answer.substr(0, 60), "\""));
}

Grade grade_commonsense(const std::string& text, const std::string& gold) {
  const auto choices = choice_family(gold);
  Grade grade;
  grade.strict_answer = only_choice(strict_text(text), choices);
  grade.compatible_answer = first_hit(text_after_last(text, "### Response:").value_or(text), choices);
  grade.strict = grade.strict_answer == gold;
  grade.compatible = grade.compatible_answer == gold;
  return grade;
}

}  // namespace loraxs
