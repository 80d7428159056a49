#include "batch/micro_batches.h"

#include <algorithm>
#include <numeric>

namespace loraxs {

int64_t micro_batch_tokens(int64_t tokens_per_batch, int64_t step_tokens) {
  constexpr int64_t kLeast = 192, kMost = 1024;
  return tokens_per_batch > 0 ? tokens_per_batch : std::clamp(2 * step_tokens, kLeast, kMost);
}

std::vector<BatchPiece> cut_step(int64_t job, std::span<const int64_t> lengths, int64_t tokens, int64_t parts) {
  const auto count = static_cast<int64_t>(lengths.size());
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  const int64_t wanted = std::min(count, std::max(parts, (total + tokens - 1) / tokens));
  std::vector<BatchPiece> pieces;
  int64_t begin = 0, used = 0;
  for (int64_t i = 0; i < count; ++i) {
    used += lengths[i];
    const auto piece = static_cast<int64_t>(pieces.size()) + 1;
    const int64_t left = count - i - 1;  // each piece still to come needs a sequence
    if (left > 0 && left > wanted - piece && used * wanted < piece * total) continue;
    pieces.push_back({.job = job, .begin = begin, .end = i + 1});
    begin = i + 1;
  }
  return pieces;
}

std::vector<std::vector<BatchPiece>> plan_micro_batches(const std::vector<std::vector<int64_t>>& lengths,
                                                        int64_t tokens, int64_t parts) {
  std::vector<std::vector<BatchPiece>> batches;
  int64_t used = 0;
  for (size_t job = 0; job < lengths.size(); ++job) {
    for (const BatchPiece& piece : cut_step(static_cast<int64_t>(job), lengths[job], tokens, parts)) {
      const auto first = lengths[job].begin();
      const int64_t size = std::accumulate(first + piece.begin, first + piece.end, int64_t{0});
      if (batches.empty() || used + size > tokens || batches.back().back().job == piece.job) {
        batches.emplace_back();
        used = 0;
      }
      batches.back().push_back(piece);
      used += size;
    }
  }
  return batches;
}

}  // namespace loraxs
