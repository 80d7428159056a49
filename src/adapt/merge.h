// adapt/merge.h: an adapter written into the base weights: no added latency, no loraxs needed to run it.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "io/atomic_file.h"
#include "model/base_model.h"

namespace loraxs {

/// The base with row `row` of `bank` merged into every adapted site (adapt/site_binding.h); other weights are the
/// base's own. Throws Error for sign −1 where nothing of the base is left.
BaseModel merge_model(const BaseModel& model, const Basis& basis, const Bank& bank, int64_t row, double sign = 1);

/// Writes a Hugging Face folder: model.safetensors with the base's tensor names (and the head, if the bank has one, as
/// BertForSequenceClassification names it), and every other file of the base's folder (adapt/model_files.h), of whose
/// names those left out are returned. config.json changes where the weights do: labels of the head, `dtype`, and
/// tie_word_embeddings beside a language head of its own; else it is the base's, byte for byte. With `dtype` every
/// tensor is rounded to it, else each keeps its own. Complete or absent.
std::vector<std::string> write_model_folder(const std::filesystem::path& folder, const BaseModel& merged,
                                            const Bank* head_bank, int64_t row,
                                            std::optional<torch::ScalarType> dtype = {},
                                            Existing existing = Existing::kRefused);

/// Copies a model folder, byte for byte. Complete or absent.
void copy_model_folder(const std::filesystem::path& from, const std::filesystem::path& folder);

}  // namespace loraxs
