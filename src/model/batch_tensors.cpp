#include "model/batch_tensors.h"

#include <algorithm>

namespace loraxs {
namespace {

template <typename To, typename From>
torch::Tensor tensor_of(const std::vector<From>& values, torch::ScalarType dtype, torch::Device device) {
  torch::Tensor tensor = torch::empty({static_cast<int64_t>(values.size())}, torch::TensorOptions().dtype(dtype));
  To* out = tensor.mutable_data_ptr<To>();
  for (size_t i = 0; i < values.size(); ++i) out[i] = static_cast<To>(values[i]);
  return tensor.to(device);
}

}  // namespace

BatchTensors make_batch_tensors(const PackedBatch& batch, torch::Device device) {
  const int64_t sequences = batch.num_sequences();
  std::vector<uint64_t> token_keys, asked_keys;
  std::vector<int64_t> sequence_starts;
  std::vector<int32_t> asked_positions;
  token_keys.reserve(batch.input_ids.size());
  sequence_starts.reserve(batch.input_ids.size());
  int64_t most_asked = 0;
  for (int64_t s = 0; s < sequences; ++s) {
    const int32_t length = batch.starts[s + 1] - batch.starts[s],
                  asked = batch.asked_starts[s + 1] - batch.asked_starts[s];
    token_keys.insert(token_keys.end(), length, batch.dropout_keys[s]);
    asked_keys.insert(asked_keys.end(), asked, batch.dropout_keys[s]);
    sequence_starts.insert(sequence_starts.end(), length, batch.starts[s]);
    most_asked = std::max<int64_t>(most_asked, asked);
  }
  asked_positions.reserve(batch.asked_rows.size());
  for (const int32_t row : batch.asked_rows) asked_positions.push_back(batch.positions[row]);
  BatchTensors tensors;
  tensors.input_ids = tensor_of<int64_t>(batch.input_ids, torch::kInt64, device);
  tensors.positions = tensor_of<int64_t>(batch.positions, torch::kInt64, device);
  tensors.token_type_ids = tensor_of<int64_t>(batch.token_type_ids, torch::kInt64, device);
  tensors.sequence_starts = tensor_of<int64_t>(sequence_starts, torch::kInt64, device);
  tensors.asked_rows = tensor_of<int64_t>(batch.asked_rows, torch::kInt64, device);
  tensors.target_ids = tensor_of<int64_t>(batch.target_ids, torch::kInt64, device);
  tensors.token_rows = {tensor_of<int64_t>(token_keys, torch::kInt64, device),
                        tensor_of<int32_t>(batch.positions, torch::kInt32, device)};
  tensors.asked_keys = {tensor_of<int64_t>(asked_keys, torch::kInt64, device),
                        tensor_of<int32_t>(asked_positions, torch::kInt32, device)};
  tensors.all_tokens.key_starts = tensor_of<int32_t>(batch.starts, torch::kInt32, device);
  tensors.all_tokens.query_starts = tensors.all_tokens.key_starts;
  tensors.all_tokens.query_positions = tensors.token_rows.positions;
  tensors.all_tokens.dropout_keys = tensor_of<int64_t>(batch.dropout_keys, torch::kInt64, device);
  tensors.all_tokens.max_queries = tensors.all_tokens.max_keys = batch.max_length;
  tensors.asked = tensors.all_tokens;
  tensors.asked.query_starts = tensor_of<int32_t>(batch.asked_starts, torch::kInt32, device);
  tensors.asked.query_positions = tensors.asked_keys.positions;
  tensors.asked.max_queries = most_asked;
  tensors.block_tables =
      tensor_of<int32_t>(batch.block_tables, torch::kInt32, device).view({sequences, batch.blocks_per_sequence});
  return tensors;
}

}  // namespace loraxs
