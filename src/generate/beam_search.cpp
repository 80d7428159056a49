#include "generate/beam_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "generate/sampling.h"
#include "io/error.h"

namespace loraxs {

void BeamOptions::check(const std::string& where) const {
  if (beams < 1) throw Error(concat(where, ": beams: expected an integer ≥ 1, found ", beams));
  if (returned < 1 || returned > beams) {
    throw Error(concat(where, ": n: expected from 1 to ", beams, " answers of ", beams, " beams, found ", returned));
  }
  if (!std::isfinite(length_penalty)) {
    throw Error(concat(where, ": length penalty: expected a number, found ", length_penalty));
  }
}

BeamSearch::BeamSearch(const BeamOptions& options, std::vector<int32_t> end_ids, int64_t max_new_tokens,
                       std::function<bool(std::span<const int32_t>)> ends)
    : options_(options), end_ids_(std::move(end_ids)), max_new_tokens_(max_new_tokens), ends_(std::move(ends)) {}

/// So many that, whatever ends, `beams` of them go on; best first, the lower beam and id first among equals.
std::vector<BeamSearch::Candidate> BeamSearch::best_candidates(std::span<const float> logits, int64_t vocab) const {
  const auto ends = static_cast<int64_t>(end_ids_.size());
  const int64_t wanted = std::max<int64_t>(2, 1 + ends) * options_.beams;
  const int64_t of_each = std::min(wanted, vocab);
  std::vector<Candidate> candidates;
  std::vector<int32_t> order(vocab);
  for (size_t b = 0; b < running_.size(); ++b) {
    const auto row = logits.subspan(b * vocab, vocab);
    const double normaliser = log_sum_exp(row);
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + of_each, order.end(),
                      [&](int32_t x, int32_t y) { return row[x] != row[y] ? row[x] > row[y] : x < y; });
    for (int64_t i = 0; i < of_each; ++i) {
      candidates.push_back({.beam = static_cast<int64_t>(b),
                            .token = order[i],
                            .score = running_[b].score + (row[order[i]] - normaliser)});
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& x, const Candidate& y) { return x.score > y.score; });
  if (static_cast<int64_t>(candidates.size()) > wanted) candidates.resize(wanted);
  return candidates;
}

bool BeamSearch::advance(std::span<const float> logits, int64_t vocab) {
  const std::vector<Candidate> candidates = best_candidates(logits, vocab);
  ++generated_;
  std::vector<Beam> next;
  for (size_t c = 0; c < candidates.size(); ++c) {
    const Candidate& candidate = candidates[c];
    const bool end_token = std::find(end_ids_.begin(), end_ids_.end(), candidate.token) != end_ids_.end();
    Beam beam{.parent = candidate.beam, .tokens = running_[candidate.beam].tokens, .score = candidate.score};
    beam.tokens.push_back(candidate.token);
    const bool ended = end_token || (ends_ && ends_(beam.tokens));
    const bool among_best = static_cast<int64_t>(c) < options_.beams;
    if (ended || generated_ == max_new_tokens_) {
      if (among_best) add_answer(beam, end_token, ended);  // those behind are there for the others to go on
    } else if (static_cast<int64_t>(next.size()) < options_.beams) {
      next.push_back(std::move(beam));
    }
  }
  running_ = std::move(next);
  return can_improve();
}

void BeamSearch::add_answer(const Beam& beam, bool end_token, bool ended) {
  BeamAnswer answer{.tokens = beam.tokens,
                    .score = beam.score / std::pow(static_cast<double>(generated_), options_.length_penalty),
                    .ended = ended};
  if (end_token) answer.tokens.pop_back();
  const auto at = std::find_if(finished_.begin(), finished_.end(),
                               [&](const BeamAnswer& other) { return other.score < answer.score; });
  finished_.insert(at, std::move(answer));
  if (static_cast<int64_t>(finished_.size()) > options_.beams) finished_.pop_back();
}

bool BeamSearch::can_improve() const {
  if (running_.empty()) return false;
  if (static_cast<int64_t>(finished_.size()) < options_.beams) return true;
  if (options_.early_stopping == EarlyStopping::kWhenFull) return false;
  const bool at_the_end = options_.early_stopping == EarlyStopping::kNever && options_.length_penalty > 0;
  const auto length = static_cast<double>(at_the_end ? max_new_tokens_ : generated_);
  return running_.front().score / std::pow(length, options_.length_penalty) > finished_.back().score;
}

std::vector<BeamAnswer> BeamSearch::answers() const {
  const auto count = std::min<int64_t>(options_.returned, static_cast<int64_t>(finished_.size()));
  return {finished_.begin(), finished_.begin() + count};
}

}  // namespace loraxs
