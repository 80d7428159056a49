// batch/micro_batches.h: one optimizer step of many jobs, cut into batches of about so many tokens.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace loraxs {

/// The budget of a micro-batch: `tokens_per_batch`, or where that is 0 twice the tokens of one job's mean step, so that
/// a bank takes little more memory than one of its jobs (docs/benchmarks.md, A bank against its jobs one by one); at
/// least 192, below which a GEMM is slow, and at most 1024, above which activations only grow.
int64_t micro_batch_tokens(int64_t tokens_per_batch, int64_t step_tokens);

/// Consecutive sequences [begin, end) of one job's step.
struct BatchPiece {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t tokens = 0;  // of those sequences
  bool operator==(const BatchPiece&) const = default;
};

/// Where one job's step is cut: `lengths` are its sequences' tokens in order. At least `parts` pieces (as far as there
/// are sequences), and as many as pieces of `tokens` take; balanced by tokens. Depends on nothing but the job's own
/// lengths and budget, so its gradient is summed in the same order alone and in any company.
std::vector<BatchPiece> cut_step(std::span<const int64_t> lengths, int64_t tokens, int64_t parts);

/// A piece of the step of one of several jobs.
struct JobPiece {
  size_t job = 0;
  BatchPiece piece;
  bool operator==(const JobPiece&) const = default;
};

/// Micro-batches, in order: pieces of different jobs together while they have at most `tokens` tokens; one that has
/// more stands alone. A job's pieces stay in order, no two of them in one micro-batch.
std::vector<std::vector<JobPiece>> group_pieces(std::span<const std::vector<BatchPiece>> jobs, int64_t tokens);

}  // namespace loraxs
