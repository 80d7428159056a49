// eval/graders/gsm8k.h: GSM8K, grade-school problems whose answer is an integer.
#pragma once
#include <string>

#include "eval/graders/grader.h"

namespace loraxs {

/// The integer behind "#### " (or "The answer is: ", as MetaMathQA writes it), commas removed.
std::string gsm8k_gold(const std::string& answer);

/// strict: the first number behind the last "The answer is: ", or behind the last "#### " where there is none, equals
/// the right one exactly (thousands with commas, decimals and fractions are read; 18.0 is 18, 18.4 is not).
/// compatible, as the reference: behind "The answer is: " alone; its pattern ends a number behind the first group of
/// commas (1,234,567 is 1,234), the value is rounded, halves to even, and a hundredth and a hundredfold of the right
/// value count.
Grade grade_gsm8k(const std::string& text, const std::string& gold);

}  // namespace loraxs
