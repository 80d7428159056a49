#include "model/kv_cache.h"

namespace loraxs {

KvCache::KvCache(const ModelConfig& config, int64_t blocks, torch::ScalarType dtype, torch::Device device) {
  TORCH_CHECK(blocks > 0, "KvCache: ", blocks, " blocks");
  const auto options = torch::TensorOptions().dtype(dtype).device(device);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    // Not zeroed: the system gives pages when they are first written, so unused blocks cost no memory.
    layers_.push_back(
        {.keys = torch::empty({blocks, config.num_key_value_heads, config.head_dim, kKeysPerBlock}, options),
         .values = torch::empty({blocks, config.num_key_value_heads, kKeysPerBlock, config.head_dim}, options)});
  }
}

torch::Tensor KvCache::attend(int64_t layer, const torch::Tensor& queries, const torch::Tensor& keys_values,
                              const AttentionColumns& columns, const AttentionShape& shape, const BatchTensors& batch,
                              bool asked_only) {
  TORCH_CHECK(batch.block_tables.size(1) > 0, "KvCache: a batch without block tables");
  const PagedIndex index{.block_tables = batch.block_tables,
                         .row_starts = batch.all_tokens.query_starts,
                         .positions = batch.all_tokens.query_positions};
  store_in_blocks_(layers_[layer], keys_values, columns, shape, index);
  return paged_attention(queries, layers_[layer], columns.query, shape, index,
                         asked_only ? batch.asked : batch.all_tokens);
}

void KvCache::copy_block_(int32_t from, int32_t to) {
  for (const PagedBlocks& layer : layers_) {
    layer.keys.select(0, to).copy_(layer.keys.select(0, from));
    layer.values.select(0, to).copy_(layer.values.select(0, from));
  }
}

int64_t KvCache::bytes_per_block(const ModelConfig& config, torch::ScalarType dtype) {
  constexpr int64_t kKeysAndValues = 2;
  return kKeysAndValues * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * kKeysPerBlock *
         static_cast<int64_t>(c10::elementSize(dtype));
}

}  // namespace loraxs
