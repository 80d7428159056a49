#include "api/graded_task.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "eval/graders/commonsense.h"
#include "eval/score.h"
#include "io/error.h"
#include "io/json.h"

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
      try {
        count_old(graded.answers->records().at(i), i);
      } catch (const Json::exception&) {
        throw Error(concat("answers file: the line with index ", i,
                           ": expected question, gold and verdicts as this command writes them, found others; delete "
                           "the line, or name another file"));
      }
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
            .failed = failed_,
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
  /// Of the answers file. Throws Json::exception for a line that this command did not write.
  void count_old(const Json& record, int64_t index) {
    const Example& example = graded_.task.validation[index];
    if (record.value("question", "") != question_of(example, graded_.as_trained) ||
        record.value("gold", "") != golds_[index]) {
      throw Error(concat(example.where, ": expected the question with index ", index,
                         " of the answers file, found another; name another file, or delete that one"));
    }
    count_in(record);
  }
  void count_in(const Json& record) {
    ++done_;
    right_first_ += record.at(first_).get<bool>() ? 1 : 0;
    right_second_ += record.at(second_).get<bool>() ? 1 : 0;
    if (!record.contains("error")) return;
    ++failed_;
    if (graded_.on_failure) graded_.on_failure(record.at("error").get<std::string>());
  }

  const GradedTask& graded_;
  const char *first_, *second_;  // keys of the two verdicts
  std::vector<std::string> golds_;
  std::vector<int64_t> open_;
  int64_t done_ = 0, failed_ = 0, right_first_ = 0, right_second_ = 0;
};

int64_t largest(const std::vector<double>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

/// An example of which every choice is weighed.
struct WeighedExample {
  int64_t index = 0;
  std::string name;                // for errors
  std::vector<std::string> names;  // the choices that it offers
  std::string error;               // why they are not weighed; empty: they are
};

/// The example with each of its choices as the answer, behind `encoded`. Throws Error and leaves `encoded` as it was.
void encode_choices(const TextModel& model, const GradedTask& graded, const std::string& gold, WeighedExample& weighed,
                    EncodedExamples& encoded) {
  Example example = graded.task.validation[weighed.index];
  if (!graded.as_trained && example.asked) example.first = *example.asked;
  const std::string answer = answer_of(example);
  weighed.names = offered_choices(question_of(example, graded.as_trained), gold);
  std::vector<Example> candidates;
  for (const std::string& choice : weighed.names) {
    std::string other = answer;
    other.replace(other.find(gold), gold.size(), choice);
    candidates.push_back(with_answer(example, other));
  }
  const EncodedExamples mine = graded.encoder.encode_open(graded.task, candidates, model.context());
  if (mine.num_truncated + mine.num_dropped > 0) {
    throw Error(concat("expected a question with choices of at most ", model.context(),
                       " tokens, found a longer one; give a larger context (-c)"));
  }
  encoded.encodings.insert(encoded.encodings.end(), mine.encodings.begin(), mine.encodings.end());
  encoded.targets.insert(encoded.targets.end(), mine.targets.begin(), mine.targets.end());
}

/// The line of an example whose choices are the candidates from `first` on.
Json choice_facts(const WeighedExample& weighed, const TargetLosses& losses, size_t first, const std::string& gold) {
  std::string error = weighed.error;
  std::vector<double> sums, means;
  std::vector<int64_t> tokens;
  for (size_t c = 0; error.empty() && c < weighed.names.size(); ++c) {
    sums.push_back(-losses.sums[0][first + c]);
    tokens.push_back(losses.targets[first + c]);
    means.push_back(sums.back() / static_cast<double>(tokens.back()));
    if (!std::isfinite(sums.back())) {
      error = concat(weighed.name, ": ", weighed.names[c], ": expected a finite log-probability, found ", sums.back());
    }
  }
  Json facts = {{"choices", weighed.names}, {"sums", sums}, {"tokens", tokens}};
  facts["right_by_sum"] = error.empty() && weighed.names[largest(sums)] == gold;
  facts["right_by_mean"] = error.empty() && weighed.names[largest(means)] == gold;
  if (!error.empty()) facts.update({{"finish_reason", "error"}, {"error", error}});
  return facts;
}

}  // namespace

std::string example_name(const Task& task, size_t index) {
  const std::string& where = task.validation[index].where;
  return where.empty() ? concat(task.name, ": example ", index + 1) : where;
}

GradedScore grade_answers(TextModel& model, const GradedTask& graded, const AnswerOptions& options) {
  Tally tally(graded, "strict", "compatible");
  std::vector<Question> questions;
  for (const int64_t index : tally.open()) {
    const Example& example = graded.task.validation[index];
    const auto encode = [&] { return graded.encoder.question(example, graded.as_trained); };
    questions.push_back(make_question(example_name(graded.task, index), encode, graded.slot));
  }
  answer_questions(model, questions, options, [&](size_t question, const std::vector<Answer>& answers) {
    const int64_t index = tally.open()[question];
    const Answer& answer = answers.front();
    const std::string text = answer.text + answer.stop;
    const bool failed = !answer.error.empty();  // what was said before it failed is no answer
    const Grade grade = failed ? Grade() : graded.grader.grade(text, tally.gold(index));
    Json facts = {{"answer", text},
                  {"finish_reason", answer.finish_reason},
                  {"tokens", answer.tokens},
                  {"strict_answer", grade.strict_answer},
                  {"strict", grade.strict},
                  {"compatible_answer", grade.compatible_answer},
                  {"compatible", grade.compatible}};
    if (failed) facts["error"] = answer.error;
    tally.add(index, facts);
  });
  return tally.score();
}

GradedScore weigh_choices(TextModel& model, const GradedTask& graded) {
  Tally tally(graded, "right_by_sum", "right_by_mean");
  constexpr size_t kTogether = 16;  // examples of a batch, which is then cut by tokens
  for (size_t begin = 0; begin < tally.open().size(); begin += kTogether) {
    const size_t end = std::min(tally.open().size(), begin + kTogether);
    std::vector<WeighedExample> weighed;
    EncodedExamples encoded;  // of all candidates of the batch
    for (size_t o = begin; o < end; ++o) {
      const int64_t index = tally.open()[o];
      weighed.push_back({.index = index, .name = example_name(graded.task, index)});
      try {
        encode_choices(model, graded, tally.gold(index), weighed.back(), encoded);
      } catch (const Error& error) {
        weighed.back().error = question_error(weighed.back().name, error.what());
      }
    }
    const TargetLosses losses = target_losses(model.model(), std::move(encoded), {graded.slot});
    size_t at = 0;  // candidate
    for (const WeighedExample& one : weighed) {
      const size_t count = one.error.empty() ? one.names.size() : 0;
      tally.add(one.index, choice_facts(one, losses, at, tally.gold(one.index)));
      at += count;
    }
  }
  return tally.score();
}

}  // namespace loraxs
