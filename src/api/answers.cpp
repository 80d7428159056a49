#include "api/answers.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "generate/text_stream.h"
#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

using OnAnswers = std::function<void(size_t, std::vector<Answer>)>;

/// The draws of one prompt under way.
struct Draws {
  std::vector<Answer> answers;
  std::vector<std::unique_ptr<TextStream>> streams;
  int64_t left = 0;
};

void draw(TextModel& model, std::vector<Question> questions, const AnswerOptions& options,
          const OnAnswers& on_answers) {
  const auto count = static_cast<int64_t>(questions.size());
  Scheduler& scheduler =
      model.scheduler(std::min(count * options.samples, options.batch * options.samples), options.ignore_eos);
  std::vector<Draws> all(questions.size());
  for (size_t q = 0; q < questions.size(); ++q) {
    Draws& draws = all[q];
    draws.answers.resize(options.samples);
    draws.left = options.samples;
    for (int64_t k = 0; k < options.samples; ++k) {
      draws.streams.push_back(std::make_unique<TextStream>(model.tokenizer(), options.stop));
      GenerationRequest request{.name = questions[q].name,
                                .prompt = questions[q].prompt,
                                .slot = questions[q].slot,
                                .sampling = options.sampling,
                                .max_new_tokens = options.max_new_tokens};
      if (k > 0) request.sampling.seed = mix_seed(options.sampling.seed, static_cast<uint64_t>(k));
      Answer& answer = draws.answers[k];
      TextStream& stream = *draws.streams.back();
      request.on_token = [&answer, &stream](const SampledToken& token) {
        ++answer.tokens;
        answer.text += stream.push(token.id);
        answer.sampled.push_back(token);
        return !stream.stopped();
      };
      request.on_finish = [&answer, &stream, &draws, &on_answers, q](FinishReason reason) {
        answer.text += stream.finish();
        answer.stop = stream.stop();
        answer.finish_reason = finish_reason_name(reason);
        if (--draws.left > 0) return;
        on_answers(q, std::move(draws.answers));
        draws = {};
      };
      scheduler.submit(std::move(request));
    }
  }
  while (scheduler.step()) {
  }
}

/// The text of a whole answer.
Answer text_of(const BeamAnswer& found, const TextModel& model, const std::vector<std::string>& stop) {
  TextStream stream(model.tokenizer(), stop);
  Answer answer{.tokens = static_cast<int64_t>(found.tokens.size()), .score = found.score};
  for (const int32_t id : found.tokens) answer.text += stream.push(id);
  answer.text += stream.finish();
  answer.stop = stream.stop();
  answer.finish_reason = finish_reason_name(found.ended ? FinishReason::kStop : FinishReason::kLength);
  return answer;
}

void search(TextModel& model, std::vector<Question> questions, const AnswerOptions& options,
            const OnAnswers& on_answers) {
  const auto count = static_cast<int64_t>(questions.size());
  BeamScheduler& scheduler =
      model.beam_scheduler(std::min(count, options.batch), options.search.beams, options.ignore_eos);
  for (size_t q = 0; q < questions.size(); ++q) {
    BeamRequest request{.name = questions[q].name,
                        .prompt = std::move(questions[q].prompt),
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
    request.on_finish = [&, q](const std::vector<BeamAnswer>& found) {
      std::vector<Answer> answers;
      answers.reserve(found.size());
      for (const BeamAnswer& one : found) answers.push_back(text_of(one, model, options.stop));
      on_answers(q, std::move(answers));
    };
    scheduler.submit(std::move(request));
  }
  while (scheduler.step()) {
  }
}

}  // namespace

void AnswerOptions::check(const std::string& where) const {
  sampling.check(where);
  if (max_new_tokens < 1) throw Error(concat(where, ": new tokens: expected at least 1, found ", max_new_tokens));
  if (samples < 1) throw Error(concat(where, ": n: expected at least 1 answer, found ", samples));
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
  if (sampling.repetition_penalty != 1 || sampling.top_logprobs >= 0) {
    throw Error(concat(
        where, ": beams: expected neither a repetition penalty nor log-probabilities of tokens; leave them out"));
  }
}

void answer_questions(TextModel& model, std::vector<Question> questions, const AnswerOptions& options,
                      const OnAnswers& on_answers) {
  if (questions.empty()) return;
  if (options.search.beams > 1) {
    search(model, std::move(questions), options, on_answers);
  } else {
    draw(model, std::move(questions), options, on_answers);
  }
}

}  // namespace loraxs
