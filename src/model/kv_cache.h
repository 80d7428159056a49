// model/kv_cache.h: keys and values of all layers in blocks; sequences reach theirs through block tables.
#pragma once
#include <torch/types.h>

#include <vector>

#include "model/config.h"
#include "model/key_value_cache.h"
#include "ops/paged_attention.h"

namespace loraxs {

/// The memory. Who owns which block is the business of a BlockPool; one block number means the same place in every
/// layer.
class KvCache final : public KeyValueCache {
 public:
  KvCache(const ModelConfig& config, int64_t blocks, torch::ScalarType dtype, torch::Device device = torch::kCPU);

  torch::Tensor attend(int64_t layer, const torch::Tensor& queries, const torch::Tensor& keys_values,
                       const AttentionColumns& columns, const AttentionShape& shape, const BatchTensors& batch,
                       bool asked_only) override;

  const PagedBlocks& layer(int64_t index) const { return layers_.at(index); }
  int64_t num_blocks() const { return layers_.front().keys.size(0); }
  /// All layers of block `from`, for a sequence that goes on from a shared block.
  void copy_block_(int32_t from, int32_t to);

  static int64_t bytes_per_block(const ModelConfig& config, torch::ScalarType dtype);
  /// Blocks that `tokens` positions take.
  static int64_t blocks_for(int64_t tokens) { return (tokens + kKeysPerBlock - 1) / kKeysPerBlock; }

 private:
  std::vector<PagedBlocks> layers_;
};

}  // namespace loraxs
