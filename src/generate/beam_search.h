// generate/beam_search.h: beam search over one prompt's answers, as transformers 5.23 defines it.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace loraxs {

/// When a search with enough finished answers ends: never before none of the running ones can be better, judged by
/// their scores at the present length (kWhenWorse) or at the most favourable one (kNever); or at once (kWhenFull).
enum class EarlyStopping { kWhenWorse, kWhenFull, kNever };  // transformers: False, True, "never"

struct BeamOptions {
  int64_t beams = 4;
  int64_t returned = 1;       // best answers given back, at most `beams`
  double length_penalty = 1;  // an answer's score is Σ log p / tokens ^ length_penalty, end-of-text token counted
  EarlyStopping early_stopping = EarlyStopping::kWhenWorse;

  /// Throws Error for a value out of range or more answers than beams. `where` starts the message.
  void check(const std::string& where) const;
};

struct BeamAnswer {
  std::vector<int32_t> tokens;  // without the token that ends it
  double score = 0;             // see length_penalty
  bool ended = false;           // by an end-of-text token or by `ends`; else by its length
};

/// Fed with logits, says which beams go on with which tokens. The sequences themselves are someone else's.
class BeamSearch {
 public:
  /// `ends` says that an answer is complete with its last token (a stop string); may be empty.
  BeamSearch(const BeamOptions& options, std::vector<int32_t> end_ids, int64_t max_new_tokens,
             std::function<bool(std::span<const int32_t> answer)> ends);

  /// A running beam: it goes on from beam `parent` of the step before with `tokens.back()`.
  struct Beam {
    int64_t parent = 0;
    std::vector<int32_t> tokens;  // the answer so far
    double score = 0;             // Σ log p
  };
  /// `logits` [running, vocab] of the running beams' next tokens; first, of the prompt alone. False: the search is
  /// over. Throws Error for a beam whose logits are not finite (largest_logit): only destruction is left.
  bool advance(std::span<const float> logits, int64_t vocab);

  const std::vector<Beam>& running() const { return running_; }  // best first
  /// The best answers, best first; complete when the search is over.
  std::vector<BeamAnswer> answers() const;

 private:
  struct Candidate {
    int64_t beam = 0;
    int32_t token = 0;
    double score = 0;
  };
  std::vector<Candidate> best_candidates(std::span<const float> logits, int64_t vocab) const;
  void add_answer(const Beam& beam, bool end_token, bool ended);
  bool can_improve() const;

  BeamOptions options_;
  std::vector<int32_t> end_ids_;
  int64_t max_new_tokens_;
  std::function<bool(std::span<const int32_t>)> ends_;
  std::vector<Beam> running_ = {Beam{}};
  std::vector<BeamAnswer> finished_;  // best first, at most `beams`
  int64_t generated_ = 0;             // tokens of every running beam
};

}  // namespace loraxs
