// api/answers.h: prompts answered together: greedily, by several draws each, or by beam search.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "api/text_model.h"
#include "generate/beam_search.h"

namespace loraxs {

struct AnswerOptions {
  SamplingOptions sampling;
  BeamOptions search{.beams = 1};  // more than one beam: beam search, which draws nothing
  int64_t samples = 1;             // answers per prompt: draws, or the best of the beams
  int64_t max_new_tokens = 256;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  int64_t batch = 16;  // prompts computed together
  /// Every piece of a draw's text as it comes; empty where a token completes none. What it throws ends the whole call.
  std::function<void(size_t question, int64_t sample, const std::string& piece)> on_text;

  /// Throws Error for options out of range and for those that contradict each other. `where` starts the message.
  void check(const std::string& where) const;
};

struct Question {
  std::string name;  // starts error messages
  std::vector<int32_t> prompt;
  int64_t slot = kNoSlot;
  std::string error;  // why it cannot be asked; empty: it can
};
/// `problem` with the question's name in front, where it does not stand there.
std::string question_error(const std::string& name, const std::string& problem);
/// The question whose prompt `encode` makes. An Error that it throws is the question's.
Question make_question(std::string name, const std::function<std::vector<int32_t>()>& encode, int64_t slot);

struct Answer {
  std::string text;           // up to the stop string
  std::string stop;           // the stop string that ended it; empty: none did
  std::string finish_reason;  // "stop", "length", "error"
  std::string error;          // the sentence of "error"; `text` is what was there before
  int64_t tokens = 0;
  double score = 0;                   // beams: see BeamOptions
  std::vector<SampledToken> sampled;  // not of beams
};

/// The one way from prompts to texts for many at a time; a chat, which answers as it reads, has the Scheduler to itself
/// (commands/chat.cpp).
/// Draws of a prompt share its computation; each has a seed of its own (generate/generation_request.h), so an answer
/// depends neither on its company nor on how many are drawn. `on_answers` is called once per question with at least one
/// answer, as they are done, inside the computation. A question that fails (its prompt is too long, a token is none of
/// the model's, its logits are not finite) has answers that say so, and the others keep their bits.
void answer_questions(TextModel& model, const std::vector<Question>& questions, const AnswerOptions& options,
                      const std::function<void(size_t question, std::vector<Answer> answers)>& on_answers);

}  // namespace loraxs
