// adapt/adapted_model.h: a prepared model and the adapters plugged into it, for whoever uses one set for many batches.
#pragma once
#include <torch/types.h>

#include <memory>

#include "adapt/bound_batch.h"

namespace loraxs {

/// Holds no batch: calls may overlap, as long as the banks allow it. Several may share a prepared model, basis and
/// banks.
class AdaptedModel {
 public:
  /// Prepares the base for just what `adapters` needs, see PreparedModel.
  AdaptedModel(const BaseModel& model, std::shared_ptr<const Basis> basis, const AdapterSet& adapters,
               torch::ScalarType compute_dtype, torch::Device device = torch::kCPU,
               WeightMemory memory = WeightMemory::kNormal)
      : AdaptedModel(
            std::make_shared<PreparedModel>(
                model, std::move(basis), Reservation::of(adapters.banks),
                PrepareOptions{
                    .dtype = compute_dtype, .device = device, .memory = memory, .both_ways = adapters.trains()}),
            adapters) {}
  /// Throws Error when the adapters are not within the model's reservation.
  AdaptedModel(std::shared_ptr<PreparedModel> prepared, AdapterSet adapters)
      : prepared_(std::move(prepared)), adapters_(std::move(adapters)), table_(prepared_->bind(adapters_)) {}

  /// Other adapters from the next batch on, at the cost of their slots. Throws Error, changing nothing, when they are
  /// not within the model's reservation.
  void use(AdapterSet adapters) {
    table_ = prepared_->bind(adapters);
    adapters_ = std::move(adapters);
  }

  std::shared_ptr<const BoundBatch> bind(const PackedBatch& batch, bool training) const {
    return BoundBatch::make(*prepared_, table_, batch, training);
  }
  // See BoundBatch.
  torch::Tensor encode(const PackedBatch& batch, bool training, KeyValueCache* cache = nullptr) const {
    return bind(batch, training)->encode(cache);
  }
  torch::Tensor token_logits(const PackedBatch& batch, KeyValueCache* cache = nullptr) const {
    return bind(batch, /*training=*/false)->token_logits(cache);
  }
  CrossEntropy token_loss(const PackedBatch& batch, bool training) const { return bind(batch, training)->token_loss(); }
  HeadLogits logits(const PackedBatch& batch, bool training) const { return bind(batch, training)->logits(); }

  /// Another bank in the place of bank `index`, whose slots are then its rows; not while a batch is under way. Banks of
  /// one Layout object share its binding. Throws Error when it is not within the model's reservation.
  void replace_bank(int64_t index, std::shared_ptr<Bank> bank) {
    table_.banks.at(index) = prepared_->bind(bank, table_);
    adapters_.banks.at(index) = std::move(bank);
  }

  /// See Backbone::limit_activations.
  void limit_activations(int64_t bytes) { prepared_->limit_activations(bytes); }

  bool generates() const { return prepared_->language_head() != nullptr; }  // a decoder
  const std::shared_ptr<PreparedModel>& prepared() const { return prepared_; }
  const AdapterSet& adapters() const { return adapters_; }
  const ModelConfig& config() const { return prepared_->config(); }

 private:
  std::shared_ptr<PreparedModel> prepared_;
  AdapterSet adapters_;
  SlotTable table_;
};

}  // namespace loraxs
