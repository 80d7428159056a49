// model/key_value_cache.h: where a decoder's attention keeps keys and values between batches.
#pragma once
#include <torch/types.h>

#include "model/batch_tensors.h"
#include "ops/attention.h"

namespace loraxs {

/// Plugs into a decoder's forward between rotary embedding and attention.
class KeyValueCache {
 public:
  virtual ~KeyValueCache() = default;

  /// Stores the batch's keys and values of `layer`, columns of keys_values [tokens, width] as `columns` says (keys
  /// already rotated), then attends -> [queries, heads · head_dim]. Row i of queries [queries, width'] is row i of the
  /// batch, or asked row i where `asked_only`; it sees its sequence's cached keys too, up to its own position.
  virtual torch::Tensor attend(int64_t layer, const torch::Tensor& queries, const torch::Tensor& keys_values,
                               const AttentionColumns& columns, const AttentionShape& shape, const BatchTensors& batch,
                               bool asked_only) = 0;
};

}  // namespace loraxs
