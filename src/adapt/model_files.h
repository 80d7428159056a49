// adapt/model_files.h: what lies in a Hugging Face model folder beside its weights: tokenizer, templates, generation
// settings, README, modules of sentence-transformers.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace loraxs {

enum class ModelFiles { kAll, kButWeights };

/// Copies a model folder's files and subfolders into the folder `to`, byte for byte; a link to a file becomes that
/// file. With kButWeights model.safetensors, its shards, their index and config.json stay behind, as whoever asks
/// writes its own; and so do the forms of the same weights that other programs read (pytorch_model.bin, onnx/,
/// *.gguf, …), which would not hold what the new weights do. .git and .cache are no part of a model. Returns the names
/// of what was left out without being written anew: those forms, checkpoints of trainings, and what is no file or
/// folder. Throws Error for more files than a model has.
std::vector<std::string> copy_model_files(const std::filesystem::path& from, const std::filesystem::path& to,
                                          ModelFiles which);

}  // namespace loraxs
