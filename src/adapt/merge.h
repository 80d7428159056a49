// adapt/merge.h: an adapter written into the base weights: no added latency, no loraxs needed to run it.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <optional>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "io/atomic_file.h"
#include "model/base_model.h"

namespace loraxs {

/// The base with row `row` of `bank` merged into every adapted site (adapt/site_binding.h); other weights are the
/// base's own. Throws Error for sign −1 where nothing of the base is left.
BaseModel merge_model(const BaseModel& model, const Basis& basis, const Bank& bank, int64_t row, double sign = 1);

/// Writes a Hugging Face folder: model.safetensors with the base's tensor names (and the head, if the bank has one, as
/// BertForSequenceClassification names it), config.json (with num_labels, id2label), tokenizer files. With `dtype`
/// every tensor is rounded to it, else each keeps its own. Complete or absent.
void write_model_folder(const std::filesystem::path& folder, const BaseModel& merged, const Bank* head_bank,
                        int64_t row, std::optional<torch::ScalarType> dtype = {},
                        Existing existing = Existing::kRefused);

/// Copies a model folder's configuration, weights and tokenizer, byte for byte. Complete or absent.
void copy_model_folder(const std::filesystem::path& from, const std::filesystem::path& folder);

}  // namespace loraxs
