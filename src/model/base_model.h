// model/base_model.h: the frozen pretrained model as it lies on disk, under canonical names.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "io/safetensors.h"
#include "model/architecture.h"
#include "ops/block_tensor.h"

namespace loraxs {

/// A tensor over a mapped file; the deleter keeps the mapping. Read-only by contract.
torch::Tensor view_tensor(const TensorView& view);

/// Mapped weights and what they are. Cheap to copy: tensors are handles. Threads may read it together; replace()
/// changes this copy alone.
struct BaseModel {
  std::filesystem::path folder;  // or .gguf file
  const Architecture* architecture = nullptr;
  ModelConfig config;
  std::map<std::string, torch::Tensor> weights;     // canonical name -> as stored, in a folder
  std::map<std::string, BlockTensor> blocks;        // canonical name -> as stored, in a GGUF file
  std::map<std::string, std::string> stored_names;  // canonical name -> name in the file
  std::string base_id;                              // SHA-256 over config and all weights
  ReadingOptions reading;                           // how its files were read, and are read on
  std::set<std::shared_ptr<const MappedFile>> files;

  /// To be called when weights have been copied into another form: their mapped pages need not stay resident.
  void release_pages() const;

  /// Blocks are unpacked to float32 by this call and not kept. Throws Error if the checkpoint lacks it.
  torch::Tensor weight(const std::string& canonical) const;
  /// The weight where it lies, unpacked by whoever multiplies with it.
  BlockTensor stored(const std::string& canonical) const;
  bool has(const std::string& canonical) const { return weights.contains(canonical) || blocks.contains(canonical); }
  /// [out_features, in_features] of a site.
  torch::Tensor site_weight(const Site& site) const { return weight(site.name + ".weight"); }
  /// Another value in place of the stored one; base_id is then the caller's to renew.
  void replace(const std::string& canonical, const torch::Tensor& value);
};

/// Maps a Hugging Face folder, or a GGUF file (gguf_model.h), and checks every tensor's shape against its config.
/// `cache_folder` keeps base ids by (path, size, mtime, inode) so that the weights are hashed once; it may be empty.
/// Throws Error.
BaseModel load_base_model(const std::filesystem::path& folder_or_gguf, const std::filesystem::path& cache_folder,
                          const ReadingOptions& reading = {});

/// SHA-256 over the canonical config and (canonical name, dtype or block type, shape, stored bytes) of all tensors,
/// sorted by name.
std::string compute_base_id(const BaseModel& model);

}  // namespace loraxs
