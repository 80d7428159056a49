// model/batch_tensors.h: a PackedBatch as tensors on the model's device.
#pragma once
#include <torch/types.h>

#include "batch/packed_batch.h"
#include "ops/attention.h"
#include "ops/dropout.h"

namespace loraxs {

struct BatchTensors {
  torch::Tensor input_ids;        // [tokens] int64
  torch::Tensor positions;        // [tokens] int64
  torch::Tensor token_type_ids;   // [tokens] int64
  torch::Tensor sequence_starts;  // [tokens] int64, row of the first token of the token's sequence
  torch::Tensor first_tokens;     // [sequences] int64, row of each sequence's first token
  RowKeys token_rows;             // per token
  RowKeys first_rows;             // per sequence, at its first token
  AttentionIndex all_tokens;      // every token asks
  AttentionIndex first_asks;      // only the first token of each sequence asks
};

BatchTensors make_batch_tensors(const PackedBatch& batch, torch::Device device);

}  // namespace loraxs
