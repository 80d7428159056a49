// batch/token_budget.h: sequences of similar length together, as many as a number of tokens allows.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace loraxs {

constexpr int64_t kTokensPerBatch = 2048;  // large enough for GEMM speed, small enough for the L2 cache to help

/// Groups of indices into `lengths`, longest sequences first, each with at most `tokens` tokens (one sequence at
/// least).
std::vector<std::vector<int64_t>> batches_by_tokens(std::span<const int64_t> lengths, int64_t tokens);

}  // namespace loraxs
