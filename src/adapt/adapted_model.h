// adapt/adapted_model.h: a frozen encoder with an AdapterSet plugged in: the forward of training, evaluation and
// prediction.
#pragma once
#include <torch/types.h>

#include <memory>
#include <vector>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "batch/packed_batch.h"
#include "model/encoder.h"
#include "model/head.h"

namespace loraxs {

class AdaptedModel final : public ProjectionHook {
 public:
  /// Prepares compute-ready weights [W; a] for the largest rank of each site in `adapters`. `basis` must cover the
  /// adapted sites at those ranks; a basis that is not nested must have exactly the adapters' rank. TORCH_CHECKs
  /// otherwise.
  AdaptedModel(const BaseModel& model, std::shared_ptr<const Basis> basis, AdapterSet adapters,
               torch::ScalarType compute_dtype, torch::Device device = torch::kCPU);

  /// First-token hidden states -> [sequences, hidden].
  torch::Tensor encode(const PackedBatch& batch, bool training);
  /// Logits -> [sequences, outputs] float32 (float64), outputs = the largest of the banks; sequences whose slot has no
  /// head are zero. `training` turns dropout on and lets backward() write the banks' gradients.
  torch::Tensor logits(const PackedBatch& batch, bool training);

  const AdapterSet& adapters() const { return adapters_; }
  const ModelConfig& config() const { return config_; }

  torch::Tensor project(size_t group, const torch::Tensor& x, RowKind rows) override;

 private:
  struct Group {
    JoinedProjection projection;
    std::vector<Site> sites;  // the adapted ones, as in projection.sites
    bool trained = false;
  };
  void bind(const PackedBatch& batch, bool training);
  std::vector<SegmentAdapters> segment_adapters(const Group& group, const std::vector<SlotSegment>& segments) const;
  RowTensor row_tensor(const SlotRef& slot, const std::string& name) const;

  ModelConfig config_;
  std::shared_ptr<const Basis> basis_;
  AdapterSet adapters_;
  torch::Device device_;
  Encoder encoder_;
  std::unique_ptr<ClassificationHead> head_;  // when some bank has a head
  std::vector<Group> groups_;
  torch::Tensor anchor_;  // scalar that requires grad

  // Of the batch at hand.
  std::vector<SlotSegment> token_segments_, sequence_segments_;
  bool training_ = false;
};

}  // namespace loraxs
