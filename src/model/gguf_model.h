// model/gguf_model.h: a base model out of one GGUF file: config from its metadata, weights as they are stored.
#pragma once
#include <array>
#include <filesystem>
#include <string_view>

#include "io/gguf.h"
#include "model/base_model.h"

namespace loraxs {

// Tensors that say how positions are rotated: of the config, not of the weights.
inline constexpr std::array<std::string_view, 3> kRotationTensors = {"rope_freqs.weight", "rope_factors_short.weight",
                                                                     "rope_factors_long.weight"};

/// The config that transformers' config.json would give (gguf_config.cpp). Throws Error for another architecture than
/// known ones, an adapter or a part of a split model, missing or impossible values, and for metadata of the model that
/// are neither used nor known to change nothing, unless they are accepted.
ParsedConfig read_gguf_config(const Gguf& file, const ReadingOptions& reading = {});

/// Everything but base_id: the file mapped, every weight of the family there in its shape and in a type that can be
/// unpacked, and no tensor that the family does not have. The rows of llama.cpp's query and key weights are given in
/// Hugging Face's order. Throws Error.
BaseModel read_gguf_model(const std::filesystem::path& path, const ReadingOptions& reading = {});

/// Canonical name -> name in a GGUF file, of every weight of this config.
std::map<std::string, std::string> gguf_weight_names(const Architecture& architecture, const ModelConfig& config);

/// BlockTensor::interleaved_heads of a weight with so many rows; 0 where GGUF keeps Hugging Face's order.
int64_t interleaved_heads(const Architecture& architecture, const ModelConfig& config, const std::string& canonical,
                          int64_t rows);
/// Rows of a matrix of the model in the order of such a file -> contiguous.
torch::Tensor to_stored_rows(const torch::Tensor& matrix, int64_t heads);

}  // namespace loraxs
