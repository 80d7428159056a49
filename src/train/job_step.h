// train/job_step.h: one optimizer step of one job, as a StepEngine takes it, and what became of it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "adapt/rank_allocator.h"
#include "batch/micro_batches.h"
#include "batch/packed_batch.h"
#include "ops/row_optimizer.h"

namespace loraxs {

struct JobStep {
  int64_t slot = 0;                 // of the job's row in the engine
  std::vector<Sequence> sequences;  // in the job's order, with its slot, seed, step and loss weights
  std::vector<BatchPiece> pieces;   // where the job's own budget cuts them
  int64_t step = 1;                 // the job's own, from 1
  std::vector<RateSegment> rates;   // of its row
  AdamWConfig adamw;
  const RankAllocator* allocator = nullptr;  // of methods that prune: works before and after the optimizer
  RankMemory ranks;                          // of this job, with an allocator; written in place

  int64_t num_tokens() const {
    int64_t tokens = 0;
    for (const BatchPiece& piece : pieces) tokens += piece.tokens;
    return tokens;
  }
};

struct StepOutcome {
  double loss = 0;      // of the step: the mean over its terms, and what a method adds
  double norm = 0;      // of the row's gradient before clipping
  std::string failure;  // "loss nan", "gradient norm inf": the row kept its numbers; empty: the step is made
};

}  // namespace loraxs
