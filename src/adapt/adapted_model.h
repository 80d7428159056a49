// adapt/adapted_model.h: a frozen model with an AdapterSet plugged in: the forward of training, evaluation, prediction
// and generation.
#pragma once
#include <torch/types.h>

#include <memory>
#include <vector>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "batch/packed_batch.h"
#include "model/backbone.h"
#include "model/head.h"
#include "model/language_head.h"

namespace loraxs {

/// Belongs to one thread: what it knows of the batch at hand stands in it. Several may share model, basis and banks.
class AdaptedModel final : public ProjectionHook {
 public:
  /// Prepares compute-ready weights [W; a] for the largest rank of each site in `adapters`. `basis` must cover the
  /// sites whose adapters read it at those ranks; a basis that is not nested must have exactly the adapters' rank; all
  /// adapters or none stand on a residual base. TORCH_CHECKs otherwise. Weights that every row in training brings
  /// itself are not prepared. Throws Error for a residual base in tight memory, which holds the file's own weights.
  AdaptedModel(const BaseModel& model, std::shared_ptr<const Basis> basis, AdapterSet adapters,
               torch::ScalarType compute_dtype, torch::Device device = torch::kCPU,
               WeightMemory memory = WeightMemory::kNormal);

  /// Hidden states of the asked rows -> [asked, hidden].
  torch::Tensor encode(const PackedBatch& batch, bool training, KeyValueCache* cache = nullptr);
  /// Decoders: logits of the asked rows -> [asked, vocab] in the compute dtype.
  torch::Tensor token_logits(const PackedBatch& batch, KeyValueCache* cache = nullptr);
  /// Decoders: cross-entropy of the asked rows' target ids, each weighted with its sequence's loss weight.
  CrossEntropy token_loss(const PackedBatch& batch, bool training);
  /// Logits of the sequences, each as wide as its slot's head. `training` turns dropout on and lets backward() write
  /// the banks' gradients.
  HeadLogits logits(const PackedBatch& batch, bool training);

  /// See Backbone::limit_activations.
  void limit_activations(int64_t bytes) { backbone_->limit_activations(bytes); }

  bool generates() const { return language_head_ != nullptr; }  // a decoder
  const AdapterSet& adapters() const { return adapters_; }
  const ModelConfig& config() const { return config_; }

  torch::Tensor project(size_t group, const torch::Tensor& x, RowKind rows) override;
  bool trains(size_t group) const override;

 private:
  struct Group {
    JoinedProjection projection;
    std::vector<Site> sites;                      // the adapted ones, as in projection.sites
    std::vector<std::vector<SiteAdapter>> slots;  // where each slot's tensors stand in its row: found once
    bool trained = false;
  };
  BatchTensors bind(const PackedBatch& batch, bool training);
  std::vector<std::vector<SiteAdapter>> slot_sites(const std::vector<Site>& sites) const;
  std::vector<SegmentAdapters> segment_adapters(const Group& group, const std::vector<SlotSegment>& segments) const;
  RowTensor row_tensor(const SlotRef& slot, const std::string& name) const;

  ModelConfig config_;
  std::shared_ptr<const Basis> basis_;
  AdapterSet adapters_;
  torch::Device device_;
  WeightMemory memory_;
  std::unique_ptr<Backbone> backbone_;
  std::unique_ptr<ClassificationHead> head_;     // when some bank has a head
  std::unique_ptr<LanguageHead> language_head_;  // of decoders
  std::vector<Group> groups_;
  torch::Tensor anchor_;  // scalar that requires grad

  // Of the batch at hand.
  std::vector<SlotSegment> token_segments_, asked_segments_;
  AnswerRows token_answers_, asked_answers_;  // empty in normal memory, where all rows go one way
  RowKeys token_keys_, asked_keys_;           // where adapters drop some of what they read; else undefined
  bool training_ = false;
};

}  // namespace loraxs
