// adapt/merged_gguf.h: a GGUF base with an adapter merged in, as a GGUF file again.
#pragma once
#include <filesystem>
#include <optional>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "io/block_type.h"
#include "model/base_model.h"

namespace loraxs {

/// Writes `model`, whose file is `model.folder`, with row `row` of `bank` merged: all metadata as they are but
/// general.file_type, tensors in the order of their names. Without `type` every tensor keeps its own, and one that is
/// merged must be F32, F16 or BF16; with it every matrix becomes of that type (ops/block_quantize.h; F16 where a row is
/// no whole number of blocks) and vectors stay. Merging computes in float32. Complete or absent. Throws Error for a
/// merged tensor in quantised blocks that no `type` unpacks.
void write_merged_gguf(const std::filesystem::path& path, const BaseModel& model, const Basis& basis, const Bank& bank,
                       int64_t row, std::optional<BlockType> type);

}  // namespace loraxs
