// api/graded_task.h: a language model's score on a task that it answers by itself, or whose choices it weighs.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "api/answers.h"
#include "api/task_encoder.h"
#include "data/task.h"
#include "eval/answers_file.h"
#include "eval/graders/grader.h"

namespace loraxs {

/// What an error calls the task's validation example `index`: where it stands, or its number.
std::string example_name(const Task& task, size_t index);

/// What is asked, of whom, and where the answers are kept.
struct GradedTask {
  const Task& task;  // its validation examples
  const Grader& grader;
  const TaskEncoder& encoder;
  int64_t slot = kNoSlot;
  bool as_trained = false;         // ask with the prompt of training, not with that of the paper's evaluation
  AnswersFile* answers = nullptr;  // what it holds is not asked again; null: nothing is kept
  /// Called after every answer with how many are there, how many of them are right in each way, and how many there
  /// will be.
  std::function<void(int64_t done, int64_t first, int64_t second, int64_t all)> progress;
  /// Hears why an example has no answer (its prompt is too long, its logits are not finite); it counts as wrong, and
  /// its line of the answers file holds finish_reason "error" and the sentence as "error".
  std::function<void(const std::string& error)> on_failure;
};

/// Shares of right answers, counted in two ways.
struct GradedScore {
  int64_t examples = 0;
  int64_t failed = 0;  // of them, without an answer
  double first = 0, second = 0;
};

/// Answers every example and grades the answers: first = strict, second = compatible (grader.h). A line of the answers
/// file holds index, question, gold, answer, finish_reason, tokens, and what both graders read and found.
GradedScore grade_answers(TextModel& model, const GradedTask& graded, const AnswerOptions& options);

/// Takes the likeliest of the choices that every example offers, each as the example's answer with the right choice's
/// name replaced by its own, without end-of-text token: first = by the sum of log-probabilities, second = by their mean
/// per token. A line of the answers file holds index, question, gold, and the choices with sums and tokens.
GradedScore weigh_choices(TextModel& model, const GradedTask& graded);

}  // namespace loraxs
