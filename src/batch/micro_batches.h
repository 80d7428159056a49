// batch/micro_batches.h: one optimizer step of many jobs, cut into batches of about so many tokens.
#pragma once
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
  int64_t job = 0;
  int64_t begin = 0;
  int64_t end = 0;
  bool operator==(const BatchPiece&) const = default;
};

/// Where one job's step is cut: `lengths` are its sequences' tokens in order. At least `parts` pieces (as far as there
/// are sequences), and as many as pieces of `tokens` take; balanced by tokens. Depends on nothing but the job's own
/// lengths, so its gradient is summed in the same order alone and in any bank.
std::vector<BatchPiece> cut_step(int64_t job, std::span<const int64_t> lengths, int64_t tokens, int64_t parts);

/// The step's micro-batches, in order: pieces of different jobs together while they have at most `tokens` tokens. A
/// job's pieces stay in order, no two of them in one micro-batch.
std::vector<std::vector<BatchPiece>> plan_micro_batches(const std::vector<std::vector<int64_t>>& lengths,
                                                        int64_t tokens, int64_t parts);

}  // namespace loraxs
