// The graders on made answers: every trap of the reference, with both verdicts.
#include <gtest/gtest.h>

#include "eval/graders/answer_text.h"
#include "eval/graders/commonsense.h"
#include "eval/graders/expression.h"
#include "eval/graders/grader.h"
#include "eval/graders/gsm8k.h"
#include "eval/graders/math.h"
#include "eval/graders/math_form.h"
#include "eval/graders/numbers.h"
#include "support/expect_error.h"

namespace loraxs {
namespace {

struct Case {
  const char* text;
  const char* gold;
  bool strict, compatible;
};

void check(Grade (*grade)(const std::string&, const std::string&), std::span<const Case> cases) {
  for (const Case& one : cases) {
    const Grade found = grade(one.text, one.gold);
    EXPECT_EQ(found.strict, one.strict) << one.text << "\nstrict read: " << found.strict_answer;
    EXPECT_EQ(found.compatible, one.compatible) << one.text << "\ncompatible read: " << found.compatible_answer;
  }
}

TEST(GradersTest, Gsm8k) {
  const Case cases[] = {
      {"6 * 3 = 18\nThe answer is: 18", "18", true, true},
      {"The answer is: 17", "18", false, false},
      {"The answer is: 5. No.\nThe answer is: 18.", "18", true, true},  // the last one
      {"The answer is 18", "18", false, false},                         // no colon: nothing was said
      {"so 18\n#### 18", "18", true, false},                            // the reference knows MetaMathQA's mark alone
      {"The answer is: $1,234.00", "1234", true, true},
      {"The answer is: -7", "-7", true, true},
      {"The answer is: 18 dollars", "18", true, true},
      {"The answer is: x", "18", false, false},
      // The reference's pattern ends behind the first comma's group.
      {"The answer is: 1,234,567", "1234567", true, false},
      {"The answer is: 1,234,567", "1234", false, true},
      // Values are rounded, halves to even.
      {"The answer is: 18.4", "18", false, true},
      {"The answer is: 2.5", "2", false, true},
      {"The answer is: 2.5", "3", false, false},
      {"The answer is: 3.5", "4", false, true},
      {"The answer is: 18.0", "18", true, true},
      // Fractions are divided.
      {"The answer is: 36/2", "18", true, true},
      {"The answer is: 37/2", "18", false, true},
      {"The answer is: 18/0", "18", false, true},
      // A hundredth and a hundredfold count.
      {"The answer is: 1800", "18", false, true},
      {"The answer is: 18", "1800", false, true},
      {"The answer is: 180", "18", false, false},
      // The words Instruction and Response end the reference's text.
      {"Response time is 3.\nThe answer is: 3", "3", true, false},
      {"The answer is: 3\n\n### Instruction:\nThe answer is: 4", "3", true, true},
      {"The answer is: 18 apples, per the Instruction: 18", "18", true, true},
  };
  check(grade_gsm8k, cases);
  EXPECT_EQ(gsm8k_gold("48/2 = <<48/2=24>>24\n#### 1,072"), "1072");
  EXPECT_EQ(gsm8k_gold("so\n#### 72\nThe answer is: 72"), "72");
  EXPECT_ERROR(gsm8k_gold("72"), "answer: expected \"#### \"");
}

TEST(GradersTest, Math) {
  const Case cases[] = {
      {"The answer is: 3", "3", true, true},
      {"The answer is: 4", "3", false, false},
      {"so $\\boxed{\\frac12}$.", "\\frac{1}{2}", true, false},  // the reference does not read boxes
      {"$\\boxed{7}$. The answer is: \\dfrac{1}{2}.", "\\frac12", true, true},
      {"The answer is: 0.5", "\\frac{1}{2}", true, true},
      {"The answer is: 3/4", "\\frac{3}{4}", true, true},
      {"The answer is: x = 3", "3", true, true},
      {"The answer is: $3$", "3", true, false},  // dollar signs stay in the reference's answer
      {"The answer is: 90^\\circ", "90", true, true},
      {"The answer is: 12\\text{ cm}", "12", true, true},
      {"The answer is: \\left(1,2\\right)", "(1, 2)", true, true},
      {"The answer is: (\\frac12, 0.25)", "(\\frac{1}{2},\\frac{1}{4})", true, true},
      {"The answer is: (2, 1)", "(1, 2)", false, false},
      {"The answer is: 1,000", "1000", true, true},
      {"The answer is: 2\\sqrt{3}", "\\sqrt{12}", true, true},
      {"The answer is: (x+1)^2", "x^2+2x+1", true, true},
      {"The answer is: (x+1)^2", "x^2+2x+2", false, false},
      {"The answer is: \\text{even}", "\\text{odd}", false, false},
      {"The answer is: 5.\nNot 6", "5", true, true},  // cut at the first full stop before a line's end
      {"The answer is: 5\nor so", "5", true, false},
      // A hundredth and a hundredfold count; 1e-4 is close.
      {"The answer is: 1800", "18", false, true},
      {"The answer is: 3.14159", "3.1416", false, true},
      // Brackets do not matter to the reference.
      {"The answer is: (3)", "\\{3\\}", false, false},
      {"The answer is: \\frac{(a)}{b", "\\frac{a}{b}", false, true},
      // Where its normalisation throws, it compares the answer with itself.
      {"The answer is: 1\\text{ m}2\\text{ m}", "3", false, true},
      {"The answer is: \\sqrt", "3", false, true},
      {"The answer is: \\frac", "3", false, true},
      {"The answer is: x/2", "3", false, true},
      {"The answer is: 1", "x/2", false, true},
      {"The answer is: 1/2/3", "3", false, false},  // two slashes do not throw
      {"The answer is: 03/4", "3", false, false},   // nor does an integer written otherwise
      {"Response: 3. The answer is: 3", "3", true, false},
      {"The answer is: ", "3", false, false},
      {"", "3", false, false},
  };
  check(grade_math, cases);
  EXPECT_EQ(math_gold("thus $\\boxed{1}$ and $\\boxed{\\frac{1}{2}}$."), "\\frac{1}{2}");
  EXPECT_EQ(math_gold("thus 4.The answer is: 4"), "4");
  EXPECT_ERROR(math_gold("4"), "answer: expected \\boxed{…}");
}

TEST(GradersTest, MathForm) {
  const std::pair<const char*, const char*> forms[] = {{"\\tfrac12", "\\frac{1}{2}"},
                                                       {"\\frac1{72}", "\\frac{1}{72}"},
                                                       {"\\sqrt3+\\sqrt{5}", "\\sqrt{3}+\\sqrt{5}"},
                                                       {".5", "\\frac{1}{2}"},
                                                       {"-3/4", "\\frac{-3}{4}"},
                                                       {"x=.25", ".25"},
                                                       {"10\\%", "10"},
                                                       {"\\$5", "5"},
                                                       {"xyz=3", "xyz=3"},
                                                       {"1 \\text{ m}", "1"},
                                                       {"", ""},
                                                       {"\\frac3", "\\frac3"}};
  for (const auto& [from, to] : forms) EXPECT_EQ(math_form(from).text, to) << from;
}

TEST(GradersTest, Expressions) {
  const auto value = [](const char* text) {
    return evaluate_expression(text, [](char c) { return c == 'x' ? 2.0 : 3.0; });
  };
  EXPECT_DOUBLE_EQ(value("2x^2-3x+1").value(), 3);
  EXPECT_DOUBLE_EQ(value("-x^2").value(), -4);
  EXPECT_DOUBLE_EQ(value("\\frac{1+\\sqrt{9}}{2}\\cdot 5").value(), 10);
  EXPECT_DOUBLE_EQ(value("\\sqrt[3]{27}").value(), 3);
  EXPECT_DOUBLE_EQ(value("2^{-1}").value(), 0.5);
  EXPECT_DOUBLE_EQ(value("1,234/2").value(), 617);
  EXPECT_NEAR(value("2\\pi").value(), 6.283185307, 1e-9);
  for (const char* bad : {"", "(", "1+", "\\text{odd}", "even", "1/0", "a,b", "\\pink", "\\frac{1}", "2)"}) {
    EXPECT_FALSE(value(bad).has_value()) << bad;
  }
  EXPECT_FALSE(value(std::string(100'000, '(').c_str()).has_value());  // no stack is lost
}

TEST(GradersTest, Commonsense) {
  const Case cases[] = {
      {"the correct answer is answer2", "answer2", true, true},
      {"the correct answer is answer1", "answer2", false, false},
      {"the correct answer is true", "true", true, true},
      {"the correct answer is solution1", "solution1", true, true},
      {"the correct answer is ending4", "ending4", true, true},
      {"the correct answer is option2", "option2", true, true},
      {"the correct answer is Answer2", "answer2", false, false},  // case counts
      {"2", "answer2", false, false},
      // Another set's words say nothing.
      {"option1 or answer2", "answer2", true, true},
      // The reference takes the first hit, inside words too.
      {"answer2, not answer1", "answer2", false, true},
      {"answer2, and again answer2", "answer2", true, true},
      {"untrue", "true", false, true},
      {"untrue: false", "false", true, false},
      {"answer12", "answer1", false, true},
      // It reads behind the last heading.
      {"the correct answer is answer1\n\n### Response:\nanswer2", "answer2", false, true},
      {"the correct answer is answer1\n\n### Response:\nanswer2", "answer1", true, false},
      {"", "answer1", false, false},
  };
  check(grade_commonsense, cases);
  EXPECT_EQ(commonsense_gold("the correct answer is ending3"), "ending3");
  EXPECT_ERROR(commonsense_gold("yes"), "found \"yes\"");
  EXPECT_EQ(offered_choices("…\n\nAnswer format: answer1/answer2/answer3", "answer1"),
            (std::vector<std::string>{"answer1", "answer2", "answer3"}));
  EXPECT_EQ(offered_choices("no line", "true"), (std::vector<std::string>{"true", "false"}));
}

TEST(GradersTest, Numbers) {
  EXPECT_EQ(exact_value("1,234.50"), (Ratio{2469, 2}));
  EXPECT_EQ(exact_value("-6/4"), (Ratio{-3, 2}));
  EXPECT_FALSE(exact_value("1/0").has_value());
  EXPECT_FALSE(exact_value("1234567890123456789").has_value());
  EXPECT_EQ(first_number("it is $1,234,567.").value(), "1,234,567");
  EXPECT_EQ(first_number("1,2 and 3").value(), "1");
  EXPECT_EQ(first_number("-$3.50").value(), "-3.50");
  EXPECT_FALSE(first_number("none").has_value());
  EXPECT_FALSE(python_number("0x10").has_value());
  EXPECT_EQ(python_number(" 1,000 ").value(), 1000);
}

TEST(GradersTest, TasksHaveTheirGraders) {
  for (const std::string& task : graded_tasks()) {
    const Grader* grader = find_grader(task);
    ASSERT_NE(grader, nullptr);
    EXPECT_GE(grader->max_new_tokens, 32);
  }
  EXPECT_EQ(find_grader("commonsense")->beams, 4);
  EXPECT_EQ(find_grader("qnli"), nullptr);
}

}  // namespace
}  // namespace loraxs
