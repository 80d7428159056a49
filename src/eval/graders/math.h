// eval/graders/math.h: MATH, competition problems whose answer is a LaTeX expression.
#pragma once
#include <string>

#include "eval/graders/grader.h"

namespace loraxs {

/// The content of the last \boxed{…}; behind "The answer is: " where there is none.
std::string math_gold(const std::string& answer);

/// strict: what stands behind the last "The answer is: " up to a line's end, or in the last \boxed{…} where there is
/// none, equals the right answer: the same normal form (math_form.h), the same tuple part by part, or expressions of
/// the same value (expression.h). compatible, as the reference: behind "The answer is: " alone, cut at the first full
/// stop before a line's end; equal after normalisation, as numbers within 1e-4 (a hundredth and a hundredfold count),
/// as tuples or expressions; and right whenever normalising either text fails, because the reference then compares the
/// answer with itself.
Grade grade_math(const std::string& text, const std::string& gold);

}  // namespace loraxs
