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

  /// Throws Error for options out of range and for those that contradict each other. `where` starts the message.
  void check(const std::string& where) const;
};

struct Question {
  std::string name;  // starts error messages
  std::vector<int32_t> prompt;
  int64_t slot = kNoSlot;
};

struct Answer {
  std::string text;           // up to the stop string
  std::string stop;           // the stop string that ended it; empty: none did
  std::string finish_reason;  // "stop", "length"
  int64_t tokens = 0;
  double score = 0;                   // beams: see BeamOptions
  std::vector<SampledToken> sampled;  // not of beams
};

/// Draw k of a prompt takes the seed itself for k = 0, and mix_seed(seed, k) else, so an answer depends neither on its
/// company nor on how many are drawn.
/// `on_answers` is called once per question, as they are done, inside the computation. Every question is checked before
/// the first is computed.
void answer_questions(TextModel& model, std::vector<Question> questions, const AnswerOptions& options,
                      const std::function<void(size_t question, std::vector<Answer> answers)>& on_answers);

}  // namespace loraxs
