#include "model/batch_tensors.h"

#include <algorithm>
#include <cstring>

namespace loraxs {
namespace {

/// Arrays that go to a device together: laid end to end in one buffer, copied once, then views of the copy.
class Upload {
 public:
  /// `tensor` will be `values` as numbers of type To: after to().
  template <typename To, typename From>
  void add(torch::Tensor& tensor, const std::vector<From>& values) {
    const size_t begin = bytes_.size();
    bytes_.resize(begin + (values.size() * sizeof(To) + kAlignment - 1) / kAlignment * kAlignment);
    To* out = reinterpret_cast<To*>(bytes_.data() + begin);
    for (size_t i = 0; i < values.size(); ++i) out[i] = static_cast<To>(values[i]);
    parts_.push_back({&tensor, c10::CppTypeToScalarType<To>::value, static_cast<int64_t>(begin),
                      static_cast<int64_t>(values.size() * sizeof(To))});
  }

  void to(torch::Device device) const {
    torch::Tensor buffer = torch::empty({static_cast<int64_t>(bytes_.size())}, torch::kUInt8);
    std::memcpy(buffer.mutable_data_ptr(), bytes_.data(), bytes_.size());
    buffer = buffer.to(device);
    for (const Part& part : parts_) *part.tensor = buffer.narrow(0, part.begin, part.size).view(part.type);
  }

 private:
  static constexpr size_t kAlignment = 8;  // of the widest number
  struct Part {
    torch::Tensor* tensor;
    torch::ScalarType type;
    int64_t begin, size;  // bytes
  };
  std::vector<char> bytes_;
  std::vector<Part> parts_;
};

}  // namespace

BatchTensors make_batch_tensors(const PackedBatch& batch, torch::Device device) {
  const int64_t sequences = batch.num_sequences();
  std::vector<uint64_t> token_keys, asked_keys;
  std::vector<int64_t> sequence_starts;
  std::vector<int32_t> asked_positions;
  std::vector<double> asked_weights;
  token_keys.reserve(batch.input_ids.size());
  sequence_starts.reserve(batch.input_ids.size());
  int64_t most_asked = 0;
  for (int64_t s = 0; s < sequences; ++s) {
    const int32_t length = batch.starts[s + 1] - batch.starts[s],
                  asked = batch.asked_starts[s + 1] - batch.asked_starts[s];
    token_keys.insert(token_keys.end(), length, batch.dropout_keys[s]);
    asked_keys.insert(asked_keys.end(), asked, batch.dropout_keys[s]);
    asked_weights.insert(asked_weights.end(), asked, batch.loss_weights[s]);
    sequence_starts.insert(sequence_starts.end(), length, batch.starts[s]);
    most_asked = std::max<int64_t>(most_asked, asked);
  }
  asked_positions.reserve(batch.asked_rows.size());
  for (const int32_t row : batch.asked_rows) asked_positions.push_back(batch.positions[row]);
  BatchTensors tensors;
  Upload upload;
  upload.add<int64_t>(tensors.input_ids, batch.input_ids);
  upload.add<int64_t>(tensors.positions, batch.positions);
  upload.add<int64_t>(tensors.token_type_ids, batch.token_type_ids);
  upload.add<int64_t>(tensors.sequence_starts, sequence_starts);
  upload.add<int64_t>(tensors.asked_rows, batch.asked_rows);
  upload.add<int64_t>(tensors.target_ids, batch.target_ids);
  upload.add<double>(tensors.asked_weights, asked_weights);
  upload.add<int64_t>(tensors.token_rows.keys, token_keys);
  upload.add<int32_t>(tensors.token_rows.positions, batch.positions);
  upload.add<int64_t>(tensors.asked_keys.keys, asked_keys);
  upload.add<int32_t>(tensors.asked_keys.positions, asked_positions);
  upload.add<int32_t>(tensors.all_tokens.key_starts.tensor, batch.starts);
  upload.add<int64_t>(tensors.all_tokens.dropout_keys, batch.dropout_keys);
  upload.add<int32_t>(tensors.asked.query_starts.tensor, batch.asked_starts);
  upload.add<int32_t>(tensors.block_tables, batch.block_tables);
  upload.to(device);
  tensors.all_tokens.key_starts.host = batch.starts;
  tensors.all_tokens.query_starts = tensors.all_tokens.key_starts;
  tensors.all_tokens.query_positions = tensors.token_rows.positions;
  tensors.all_tokens.max_queries = tensors.all_tokens.max_keys = batch.max_length;
  tensors.asked.query_starts.host = batch.asked_starts;
  tensors.asked.key_starts = tensors.all_tokens.key_starts;
  tensors.asked.query_positions = tensors.asked_keys.positions;
  tensors.asked.dropout_keys = tensors.all_tokens.dropout_keys;
  tensors.asked.max_queries = most_asked;
  tensors.asked.max_keys = batch.max_length;
  tensors.block_tables = tensors.block_tables.view({sequences, batch.blocks_per_sequence});
  return tensors;
}

}  // namespace loraxs
