// eval/graders/answer_text.h: where the final answer stands in a worked solution.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace loraxs {

/// What a strict grader reads: the text up to a heading of the prompt, "### Instruction:" or "### Response:".
std::string strict_text(const std::string& text);
/// What the reference reads: its generation stops at "Instruction" and "Response", wherever they stand.
std::string compatible_text(const std::string& text);

/// The text behind the last `mark`, without surrounding blanks; nothing where there is no mark.
std::optional<std::string> text_after_last(const std::string& text, std::string_view mark);
/// The content of the last \boxed{…}, braces matched; nothing where there is none.
std::optional<std::string> last_boxed(const std::string& text);
std::string trimmed(std::string_view text);

inline constexpr std::string_view kAnswerMark = "The answer is: ";  // of MetaMathQA
inline constexpr std::string_view kGsm8kMark = "#### ";             // of GSM8K

}  // namespace loraxs
