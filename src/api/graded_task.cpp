#include "api/graded_task.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "eval/graders/commonsense.h"
#include "eval/score.h"
#include "io/error.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

/// What the example asks, as its answers file shows it.
std::string question_of(const Example& example, bool as_trained) {
  if (!example.messages.is_null()) return example.messages.dump();
  return as_trained ? example.first : example.asked.value_or(example.first);
}

/// The examples' lines under way: those of the file, and those to come.
class Tally {
 public:
  Tally(const GradedTask& graded, const char* first, const char* second)
      : graded_(graded), first_(first), second_(second) {
    const auto count = static_cast<int64_t>(graded.task.validation.size());
    for (int64_t i = 0; i < count; ++i) {
      const Example& example = graded.task.validation[i];
      golds_.push_back(gold_of(example));
      if (graded.answers == nullptr || !graded.answers->records().contains(i)) {
        open_.push_back(i);
        continue;
      }
      const Json& record = graded.answers->records().at(i);
      if (record.value("question", "") != question_of(example, graded.as_trained) ||
          record.value("gold", "") != golds_.back()) {
        throw Error(concat(example.where, ": expected the question with index ", i,
                           " of the answers file, found another; name another file, or delete that one"));
      }
      count_in(record);
    }
  }

  const std::vector<int64_t>& open() const { return open_; }  // examples without an answer
  const std::string& gold(int64_t index) const { return golds_[index]; }

  /// A new line, which begins with index, question and gold.
  void add(int64_t index, const Json& facts) {
    Json record = {{"index", index},
                   {"question", question_of(graded_.task.validation[index], graded_.as_trained)},
                   {"gold", golds_[index]}};
    record.update(facts);
    if (graded_.answers != nullptr) graded_.answers->append(record);
    count_in(record);
    if (graded_.progress) graded_.progress(done_, right_first_, right_second_, static_cast<int64_t>(golds_.size()));
  }

  GradedScore score() const {
    const auto count = static_cast<double>(done_);
    return {.examples = done_,
            .first = static_cast<double>(right_first_) / count,
            .second = static_cast<double>(right_second_) / count};
  }

 private:
  std::string gold_of(const Example& example) const {
    try {
      return graded_.grader.gold(answer_of(example));
    } catch (const Error& error) {
      throw Error(concat(example.where, ": ", error.what()));
    }
  }
  void count_in(const Json& record) {
    ++done_;
    right_first_ += record.at(first_).get<bool>() ? 1 : 0;
    right_second_ += record.at(second_).get<bool>() ? 1 : 0;
  }

  const GradedTask& graded_;
  const char *first_, *second_;  // keys of the two verdicts
  std::vector<std::string> golds_;
  std::vector<int64_t> open_;
  int64_t done_ = 0, right_first_ = 0, right_second_ = 0;
};

int64_t largest(const std::vector<double>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

}  // namespace

GradedScore grade_answers(TextModel& model, const GradedTask& graded, const AnswerOptions& options) {
  Tally tally(graded, "strict", "compatible");
  std::vector<Question> questions;
  for (const int64_t index : tally.open()) {
    const Example& example = graded.task.validation[index];
    questions.push_back(
        {.name = example.where, .prompt = graded.encoder.question(example, graded.as_trained), .slot = graded.slot});
  }
  answer_questions(model, std::move(questions), options, [&](size_t question, const std::vector<Answer>& answers) {
    const int64_t index = tally.open()[question];
    const Answer& answer = answers.front();
    const std::string text = answer.text + answer.stop;
    const Grade grade = graded.grader.grade(text, tally.gold(index));
    tally.add(index, {{"answer", text},
                      {"finish_reason", answer.finish_reason},
                      {"tokens", answer.tokens},
                      {"strict_answer", grade.strict_answer},
                      {"strict", grade.strict},
                      {"compatible_answer", grade.compatible_answer},
                      {"compatible", grade.compatible}});
  });
  return tally.score();
}

GradedScore weigh_choices(TextModel& model, const GradedTask& graded) {
  Tally tally(graded, "right_by_sum", "right_by_mean");
  constexpr size_t kTogether = 16;  // examples of a batch, which is then cut by tokens
  for (size_t begin = 0; begin < tally.open().size(); begin += kTogether) {
    const size_t end = std::min(tally.open().size(), begin + kTogether);
    std::vector<Example> candidates;
    std::vector<std::vector<std::string>> choices;
    for (size_t o = begin; o < end; ++o) {
      const int64_t index = tally.open()[o];
      Example example = graded.task.validation[index];
      if (!graded.as_trained && example.asked) example.first = *example.asked;
      const std::string answer = answer_of(example);
      const std::string& gold = tally.gold(index);
      choices.push_back(offered_choices(question_of(example, graded.as_trained), gold));
      for (const std::string& choice : choices.back()) {
        std::string other = answer;
        other.replace(other.find(gold), gold.size(), choice);
        candidates.push_back(with_answer(example, other));
      }
    }
    const EncodedExamples encoded = graded.encoder.encode_open(graded.task, candidates, model.context());
    if (encoded.num_truncated + encoded.num_dropped > 0) {
      throw Error(concat(graded.task.validation[tally.open()[begin]].where, " and the ", end - begin - 1,
                         " behind it: expected questions with choices of at most ", model.context(),
                         " tokens, found longer ones; give a larger context (-c)"));
    }
    const TargetLosses losses = target_losses(model.model(), encoded, {graded.slot});
    size_t at = 0;  // candidate
    for (size_t o = begin; o < end; ++o) {
      const int64_t index = tally.open()[o];
      const std::vector<std::string>& names = choices[o - begin];
      std::vector<double> sums, means;
      std::vector<int64_t> tokens;
      for (size_t c = 0; c < names.size(); ++c, ++at) {
        sums.push_back(-losses.sums[0][at]);
        tokens.push_back(losses.targets[at]);
        means.push_back(sums.back() / static_cast<double>(tokens.back()));
      }
      tally.add(index, {{"choices", names},
                        {"sums", sums},
                        {"tokens", tokens},
                        {"right_by_sum", names[largest(sums)] == tally.gold(index)},
                        {"right_by_mean", names[largest(means)] == tally.gold(index)}});
    }
  }
  return tally.score();
}

}  // namespace loraxs
