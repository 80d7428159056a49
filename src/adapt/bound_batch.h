// adapt/bound_batch.h: one batch on a prepared model with the adapters of its slots: the forward of training,
// evaluation, prediction and generation.
#pragma once
#include <torch/types.h>

#include <memory>
#include <vector>

#include "adapt/prepared_model.h"
#include "batch/packed_batch.h"

namespace loraxs {

/// Made per call and passed along; changes nothing once made. Autograd holds it until backward is done, and `model`
/// must live as long. Several may be under way on one model, forward and backward in any order.
class BoundBatch final : public ProjectionHook, public std::enable_shared_from_this<BoundBatch> {
 public:
  /// `training` turns dropout on and lets backward() write the gradients of the banks in the batch.
  static std::shared_ptr<const BoundBatch> make(const PreparedModel& model, const SlotTable& table,
                                                const PackedBatch& batch, bool training);

  /// Hidden states of the asked rows -> [asked, hidden].
  torch::Tensor encode(KeyValueCache* cache = nullptr) const;
  /// Decoders: logits of the asked rows -> [asked, vocab] in the compute dtype.
  torch::Tensor token_logits(KeyValueCache* cache = nullptr) const;
  /// Decoders: cross-entropy of the asked rows' target ids, each weighted with its sequence's loss weight.
  CrossEntropy token_loss() const;
  /// Logits of the sequences, each as wide as its slot's head.
  HeadLogits logits() const;

  torch::Tensor project(size_t group, const torch::Tensor& x, RowKind rows) const override;
  bool trains(size_t group) const override { return trained_[group]; }

 private:
  /// What projections read of rows of one kind.
  struct Rows {
    std::shared_ptr<const std::vector<SegmentAdapters>> segments;
    AnswerRows answers;  // of those that are of an answer under way
    RowKeys keys;        // where adapters drop some of what they read; else undefined
  };
  BoundBatch(const PreparedModel& model, const PackedBatch& batch, bool training);
  void bind_slots(const SlotTable& table, const PackedBatch& batch);
  void bind_heads(const SlotTable& table, const PackedBatch& batch);
  void bind_answers(const PackedBatch& batch);

  const PreparedModel& model_;
  bool training_;
  BatchTensors tensors_;
  Rows tokens_, asked_;
  torch::Tensor anchor_;            // in training: a scalar that requires grad
  std::vector<bool> trained_;       // per group
  std::vector<HeadSegment> heads_;  // of the asked rows
  std::vector<HeadRun> runs_;
  bool one_asked_each_;  // every sequence asks for one row
};

}  // namespace loraxs
