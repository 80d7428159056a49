// generate/step_model.h: what the scheduler needs of a model; a fake one tests it.
#pragma once
#include <cstdint>
#include <exception>
#include <functional>
#include <span>

#include "batch/packed_batch.h"

namespace loraxs {

/// Leaves a step that was interrupted. What it wrote is written again by whichever step computes those tokens.
class StepInterrupted final : public std::exception {
 public:
  const char* what() const noexcept override { return "the step was interrupted"; }
};

class StepModel {
 public:
  virtual ~StepModel() = default;
  /// Computes all tokens of the batch, keeps their keys and values in the sequences' blocks, and returns the logits of
  /// batch.asked_rows [asked, vocab], readable until the next call.
  virtual std::span<const float> step(const PackedBatch& batch) = 0;
  /// step() asks it now and then, and throws StepInterrupted once it says true. A model may never ask.
  virtual void interrupt_when(std::function<bool()> wanted) = 0;
  /// Block `to` becomes a copy of block `from` in every layer.
  virtual void copy_block(int32_t from, int32_t to) = 0;
  virtual int64_t vocab_size() const = 0;
  virtual int64_t num_blocks() const = 0;        // of the cache
  virtual int64_t tokens_per_block() const = 0;  // positions a block holds
};

}  // namespace loraxs
