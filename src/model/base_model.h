// model/base_model.h: the frozen pretrained model as it lies on disk, under canonical names.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "model/architecture.h"

namespace loraxs {

/// A tensor over a mapped file; the deleter keeps the mapping. Read-only by contract.
torch::Tensor view_tensor(const TensorView& view);

/// Mapped weights and what they are. Cheap to copy: tensors are handles.
struct BaseModel {
  std::filesystem::path folder;
  const Architecture* architecture = nullptr;
  ModelConfig config;
  std::map<std::string, torch::Tensor> weights;     // canonical name -> as stored
  std::map<std::string, std::string> stored_names;  // canonical name -> name in the file
  std::string base_id;                              // SHA-256 over config and all weights

  /// Throws Error if the checkpoint lacks it.
  const torch::Tensor& weight(const std::string& canonical) const;
  bool has(const std::string& canonical) const { return weights.contains(canonical); }
  /// [out_features, in_features] of a site.
  const torch::Tensor& site_weight(const Site& site) const { return weight(site.name + ".weight"); }
};

/// Maps a Hugging Face folder and checks every tensor's shape against config.json. `cache_folder` keeps base ids by
/// (path, size, mtime, inode) so that the weights are hashed once; it may be empty. Throws Error.
BaseModel load_base_model(const std::filesystem::path& folder, const std::filesystem::path& cache_folder);

/// SHA-256 over the canonical config and (canonical name, dtype, shape, bytes) of all tensors, sorted by name.
std::string compute_base_id(const ModelConfig& config, const std::map<std::string, torch::Tensor>& weights);

}  // namespace loraxs
