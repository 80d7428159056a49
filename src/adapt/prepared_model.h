// adapt/prepared_model.h: a frozen model in the form it is computed in, prepared once for the adapters it may meet.
#pragma once
#include <torch/types.h>

#include <memory>
#include <vector>

#include "adapt/basis.h"
#include "adapt/layout_binding.h"
#include "adapt/reservation.h"
#include "model/backbone.h"
#include "model/head.h"
#include "model/language_head.h"

namespace loraxs {

struct PrepareOptions {
  torch::ScalarType dtype = torch::kFloat32;  // of weights and activations
  torch::Device device = torch::kCPU;
  WeightMemory memory = WeightMemory::kNormal;
  bool both_ways = false;  // backward products too; prepare_backward() turns them on later
};

/// The banks of an AdapterSet with their bindings, and its slots. Belongs to batches, not to the model.
struct SlotTable {
  struct BoundBank {
    std::shared_ptr<Bank> bank;
    std::shared_ptr<const LayoutBinding> binding;
  };
  std::vector<BoundBank> banks;
  std::vector<SlotRef> slots;

  const BoundBank& bank_of(int64_t slot) const { return banks[slots.at(slot).bank]; }
};

/// The base's weights [W; a], norms, embeddings and heads. Knows no adapter and no batch: any number of BoundBatch may
/// live on it at a time, of several threads.
class PreparedModel {
 public:
  /// Throws Error for a residual base in memory that holds the file's own numbers: what a constructor would throw.
  static void check(const Reservation& reservation, const PrepareOptions& options);

  /// `basis` must cover the reserved sites at their ranks; a basis that is not nested must have exactly those ranks.
  /// TORCH_CHECKs otherwise. Throws Error as check().
  PreparedModel(const BaseModel& model, std::shared_ptr<const Basis> basis, Reservation reservation,
                const PrepareOptions& options);

  /// Throws Error when the banks' layouts are not within the reservation.
  SlotTable bind(const AdapterSet& adapters) const;
  /// One bank; it shares the binding of a bank of `table` that has the same Layout object: an adapter more costs its
  /// row.
  SlotTable::BoundBank bind(const std::shared_ptr<Bank>& bank, const SlotTable& table) const;

  /// Backward products from now on; `model` as at construction. Not while a batch is under way.
  void prepare_backward(const BaseModel& model);
  /// See Backbone::limit_activations.
  void limit_activations(int64_t bytes) { backbone_->limit_activations(bytes); }

  const ModelConfig& config() const { return config_; }
  const Basis* basis() const { return basis_.get(); }
  const Reservation& reservation() const { return reservation_; }
  const PrepareOptions& options() const { return options_; }
  const Backbone& backbone() const { return *backbone_; }
  const JoinedProjection& projection(size_t group) const { return projections_.at(group); }
  size_t num_groups() const { return projections_.size(); }
  const ClassificationHead* head() const { return head_.get(); }              // null: none was reserved
  const LanguageHead* language_head() const { return language_head_.get(); }  // null: an encoder

 private:
  ModelConfig config_;
  std::shared_ptr<const Basis> basis_;
  Reservation reservation_;
  PrepareOptions options_;
  std::unique_ptr<Backbone> backbone_;
  std::vector<JoinedProjection> projections_;  // one per group of the backbone
  std::vector<std::vector<Site>> sites_;       // the reserved ones of each
  std::unique_ptr<ClassificationHead> head_;
  std::unique_ptr<LanguageHead> language_head_;
};

}  // namespace loraxs
