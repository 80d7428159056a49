#include "model/batch_tensors.h"

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
  std::vector<int64_t> first_tokens(batch.starts.begin(), batch.starts.end() - 1);
  std::vector<uint64_t> token_keys;
  std::vector<int64_t> sequence_starts;
  token_keys.reserve(batch.input_ids.size());
  sequence_starts.reserve(batch.input_ids.size());
  std::vector<int32_t> one_each(sequences + 1);
  for (int64_t s = 0; s < sequences; ++s) {
    const int32_t length = batch.starts[s + 1] - batch.starts[s];
    token_keys.insert(token_keys.end(), length, batch.dropout_keys[s]);
    sequence_starts.insert(sequence_starts.end(), length, batch.starts[s]);
    one_each[s + 1] = static_cast<int32_t>(s + 1);
  }
  BatchTensors tensors;
  tensors.input_ids = tensor_of<int64_t>(batch.input_ids, torch::kInt64, device);
  tensors.positions = tensor_of<int64_t>(batch.positions, torch::kInt64, device);
  tensors.token_type_ids = tensor_of<int64_t>(batch.token_type_ids, torch::kInt64, device);
  tensors.sequence_starts = tensor_of<int64_t>(sequence_starts, torch::kInt64, device);
  tensors.first_tokens = tensor_of<int64_t>(first_tokens, torch::kInt64, device);
  tensors.token_rows = {tensor_of<int64_t>(token_keys, torch::kInt64, device),
                        tensor_of<int32_t>(batch.positions, torch::kInt32, device)};
  tensors.first_rows = {tensor_of<int64_t>(batch.dropout_keys, torch::kInt64, device),
                        torch::zeros({sequences}, torch::TensorOptions().dtype(torch::kInt32).device(device))};
  tensors.all_tokens.key_starts = tensor_of<int32_t>(batch.starts, torch::kInt32, device);
  tensors.all_tokens.query_starts = tensors.all_tokens.key_starts;
  tensors.all_tokens.query_positions = tensors.token_rows.positions;
  tensors.all_tokens.dropout_keys = tensors.first_rows.keys;
  tensors.all_tokens.max_queries = tensors.all_tokens.max_keys = batch.max_length;
  tensors.first_asks = tensors.all_tokens;
  tensors.first_asks.query_starts = tensor_of<int32_t>(one_each, torch::kInt32, device);
  tensors.first_asks.query_positions = tensors.first_rows.positions;
  tensors.first_asks.max_queries = 1;
  return tensors;
}

}  // namespace loraxs
