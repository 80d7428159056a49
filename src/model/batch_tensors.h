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
  torch::Tensor asked_rows;       // [asked] int64
  torch::Tensor target_ids;       // [asked] int64; -1 where the batch knows none
  torch::Tensor asked_weights;    // [asked] float64, the loss weight of the row's sequence
  RowKeys token_rows;             // per token
  RowKeys asked_keys;             // per asked row
  AttentionIndex all_tokens;      // every token asks
  AttentionIndex asked;           // only the asked rows ask
  torch::Tensor block_tables;     // [sequences, blocks] int32, blocks of the key/value cache; 0 columns without one
};

/// One copy to the device for all of them.
BatchTensors make_batch_tensors(const PackedBatch& batch, torch::Device device);

}  // namespace loraxs
