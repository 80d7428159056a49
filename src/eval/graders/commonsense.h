// eval/graders/commonsense.h: the eight commonsense sets in the wording of LLM-Adapters.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "eval/graders/grader.h"

namespace loraxs {

/// The names that answers of one set have: true, false (BoolQ); solution1, solution2 (PIQA); answer1 … answer5 (SIQA,
/// ARC, OpenBookQA); ending1 … ending4 (HellaSwag); option1, option2 (WinoGrande). `gold` says which set; empty for a
/// word of none.
std::span<const char* const> choice_family(const std::string& gold);

/// Those that a question offers, from its line "Answer format: answer1/answer2/answer3"; all of the family where it has
/// none.
std::vector<std::string> offered_choices(const std::string& instruction, const std::string& gold);

/// The first choice that a record's answer names: "the correct answer is answer2" -> answer2.
std::string commonsense_gold(const std::string& answer);

/// strict: the text up to a heading names the right choice as a whole word ("untrue" is not "true"), and no other.
/// compatible, as the reference: the first choice that occurs behind the last "### Response:", inside words too,
/// case-sensitive.
Grade grade_commonsense(const std::string& text, const std::string& gold);

}  // namespace loraxs
