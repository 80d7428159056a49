#include "api/answers.h"

#include <algorithm>
#include <utility>

#include "generate/text_stream.h"
#include "io/error.h"

namespace loraxs {
namespace {

using OnAnswers = std::function<void(size_t, std::vector<Answer>)>;

std::vector<Answer> failed_answers(int64_t count, const std::string& error) {
  const Answer one{.finish_reason = finish_reason_name(FinishReason::kError), .error = error};
  return std::vector(static_cast<size_t>(count), one);
}

/// Submits the question, or says why it cannot be asked.
template <typename Submit>
void ask(size_t index, const Question& question, int64_t answers, const Submit& submit, const OnAnswers& on_answers) {
  std::string error = question.error;
  try {
    if (error.empty()) return submit();
  } catch (const Error& refused) {
    error = refused.what();
  }
  on_answers(index, failed_answers(answers, error));
}

/// The draws of one prompt under way.
struct Draws {
  std::vector<Answer> answers;
  std::vector<TextStream> streams;
  int64_t left = 0;
};

void submit_draws(Scheduler& scheduler, const Tokenizer& tokenizer, const Question& question,
                  const AnswerOptions& options, size_t index, Draws& draws,
                  const std::function<void(std::vector<Answer>)>& on_done) {
  draws.answers.resize(options.samples);
  draws.streams.reserve(options.samples);
  draws.left = options.samples;
  for (int64_t k = 0; k < options.samples; ++k) draws.streams.emplace_back(tokenizer, options.stop);
  GenerationRequest request{.name = question.name,
                            .prompt = question.prompt,
                            .slot = question.slot,
                            .sampling = options.sampling,
                            .max_new_tokens = options.max_new_tokens,
                            .samples = options.samples};
  request.on_token = [&draws, &options, index](int64_t sample, const SampledToken& token) {
    Answer& answer = draws.answers[sample];
    ++answer.tokens;
    const std::string piece = draws.streams[sample].push(token.id);
    answer.text += piece;
    if (options.on_text) options.on_text(index, sample, piece);
    answer.sampled.push_back(token);
    return !draws.streams[sample].stopped();
  };
  request.on_finish = [&draws, &options, index, on_done](int64_t sample, FinishReason reason,
                                                         const std::string& error) {
    Answer& answer = draws.answers[sample];
    answer.error = error;
    try {
      const std::string piece = draws.streams[sample].finish();
      answer.text += piece;
      if (options.on_text) options.on_text(index, sample, piece);
      answer.stop = draws.streams[sample].stop();
    } catch (const Error& undecodable) {
      if (error.empty()) answer.error = undecodable.what();
    }
    answer.finish_reason = finish_reason_name(answer.error.empty() ? reason : FinishReason::kError);
    if (--draws.left > 0) return;
    on_done(std::move(draws.answers));
    draws = {};
  };
  scheduler.submit(std::move(request));
}

void draw(TextModel& model, const std::vector<Question>& questions, const AnswerOptions& options,
          const OnAnswers& on_answers) {
  const auto count = static_cast<int64_t>(questions.size());
  Scheduler& scheduler =
      model.scheduler(std::min(count * options.samples, options.batch * options.samples), options.ignore_eos);
  std::vector<Draws> all(questions.size());
  for (size_t q = 0; q < questions.size(); ++q) {
    const auto on_done = [&on_answers, q](std::vector<Answer> answers) { on_answers(q, std::move(answers)); };
    const auto submit = [&] { submit_draws(scheduler, model.tokenizer(), questions[q], options, q, all[q], on_done); };
    ask(q, questions[q], options.samples, submit, on_answers);
  }
  while (scheduler.step()) {
  }
}

/// The texts of whole answers.
std::vector<Answer> texts_of(const std::vector<BeamAnswer>& found, const TextModel& model,
                             const std::vector<std::string>& stop) {
  std::vector<Answer> answers;
  answers.reserve(found.size());
  for (const BeamAnswer& one : found) {
    TextStream stream(model.tokenizer(), stop);
    Answer answer{.tokens = static_cast<int64_t>(one.tokens.size()), .score = one.score};
    try {
      for (const int32_t id : one.tokens) answer.text += stream.push(id);
      answer.text += stream.finish();
      answer.stop = stream.stop();
    } catch (const Error& undecodable) {
      answer.error = undecodable.what();
    }
    const FinishReason reason = one.ended ? FinishReason::kStop : FinishReason::kLength;
    answer.finish_reason = finish_reason_name(answer.error.empty() ? reason : FinishReason::kError);
    answers.push_back(std::move(answer));
  }
  return answers;
}

void search(TextModel& model, const std::vector<Question>& questions, const AnswerOptions& options,
            const OnAnswers& on_answers) {
  const auto count = static_cast<int64_t>(questions.size());
  BeamScheduler& scheduler =
      model.beam_scheduler(std::min(count, options.batch), options.search.beams, options.ignore_eos);
  for (size_t q = 0; q < questions.size(); ++q) {
    BeamRequest request{.name = questions[q].name,
                        .prompt = questions[q].prompt,
                        .slot = questions[q].slot,
                        .options = options.search,
                        .max_new_tokens = options.max_new_tokens};
    request.options.returned = options.samples;
    if (!options.stop.empty()) {
      request.ends = [&](std::span<const int32_t> tokens) {
        TextStream stream(model.tokenizer(), options.stop);
        for (const int32_t id : tokens) stream.push(id);
        return stream.stopped();
      };
    }
    request.on_finish = [&, q](const std::vector<BeamAnswer>& found, const std::string& error) {
      on_answers(q, error.empty() ? texts_of(found, model, options.stop) : failed_answers(1, error));
    };
    ask(
        q, questions[q], 1, [&] { scheduler.submit(std::move(request)); }, on_answers);
  }
  while (scheduler.step()) {
  }
}

}  // namespace

void AnswerOptions::check(const std::string& where) const {
  sampling.check(where);
  if (max_new_tokens < 1) throw Error(concat(where, ": new tokens: expected at least 1, found ", max_new_tokens));
  if (samples < 1) throw Error(concat(where, ": n: expected at least 1 answer, found ", samples));
  if (batch < 1) throw Error(concat(where, ": batch: expected at least 1 prompt, found ", batch));
  if (search.beams == 1) {
    if (samples > 1 && sampling.greedy()) {
      throw Error(concat(where, ": n: expected 1 answer at temperature 0, where all are the same, found ", samples,
                         "; give a temperature above 0, or beams"));
    }
    if (search.length_penalty != 1 || search.early_stopping != EarlyStopping::kWhenWorse) {
      throw Error(concat(where, ": length penalty and early stopping belong to beam search; give more than one beam"));
    }
    return;
  }
  BeamOptions whole = search;
  whole.returned = samples;
  whole.check(where);
  if (!sampling.greedy()) {
    throw Error(concat(where, ": beams: expected temperature 0, because beam search draws nothing, found ",
                       sampling.temperature, "; take one beam, or temperature 0"));
  }
  if (sampling.changes_logits() || sampling.top_logprobs >= 0) {
    throw Error(
        concat(where, ": beams: expected neither penalties, biases nor log-probabilities of tokens; leave them out"));
  }
}

std::string question_error(const std::string& name, const std::string& problem) {
  return problem.starts_with(name) ? problem : concat(name, ": ", problem);
}

Question make_question(std::string name, const std::function<std::vector<int32_t>()>& encode, int64_t slot) {
  Question question{.name = std::move(name), .slot = slot};
  try {
    question.prompt = encode();
  } catch (const Error& error) {
    question.error = question_error(question.name, error.what());
  }
  return question;
}

void answer_questions(TextModel& model, const std::vector<Question>& questions, const AnswerOptions& options,
                      const OnAnswers& on_answers) {
  if (questions.empty()) return;
  try {
    if (options.search.beams > 1) {
      search(model, questions, options, on_answers);
    } else {
      draw(model, questions, options, on_answers);
    }
  } catch (...) {
    model.abandon_requests();
    throw;
  }
}

}  // namespace loraxs
