#include "batch/micro_batches.h"

#include <algorithm>
#include <numeric>

namespace loraxs {

int64_t micro_batch_tokens(int64_t tokens_per_batch, int64_t step_tokens) {
  constexpr int64_t kLeast = 192, kMost = 1024;
  return tokens_per_batch > 0 ? tokens_per_batch : std::clamp(2 * step_tokens, kLeast, kMost);
}

std::vector<BatchPiece> cut_step(std::span<const int64_t> lengths, int64_t tokens, int64_t parts) {
  const auto count = static_cast<int64_t>(lengths.size());
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  const int64_t wanted = std::min(count, std::max(parts, (total + tokens - 1) / tokens));
  std::vector<BatchPiece> pieces;
  int64_t begin = 0, used = 0, cut = 0;  // tokens up to here, and up to the last cut
  for (int64_t i = 0; i < count; ++i) {
    used += lengths[i];
    const auto piece = static_cast<int64_t>(pieces.size()) + 1;
    const int64_t left = count - i - 1;  // each piece still to come needs a sequence
    if (left > 0 && left > wanted - piece && used * wanted < piece * total) continue;
    pieces.push_back({.begin = begin, .end = i + 1, .tokens = used - cut});
    begin = i + 1;
    cut = used;
  }
  return pieces;
}

std::vector<std::vector<JobPiece>> group_pieces(std::span<const std::vector<BatchPiece>> jobs, int64_t tokens) {
  std::vector<std::vector<JobPiece>> batches;
  int64_t used = 0;
  for (size_t job = 0; job < jobs.size(); ++job) {
    for (const BatchPiece& piece : jobs[job]) {
      if (batches.empty() || used + piece.tokens > tokens || batches.back().back().job == job) {
        batches.emplace_back();
        used = 0;
      }
      batches.back().push_back({.job = job, .piece = piece});
      used += piece.tokens;
    }
  }
  return batches;
}

}  // namespace loraxs
