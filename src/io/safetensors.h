// io/safetensors.h: the safetensors container: u64 header length, JSON header, raw little-endian tensor bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/mapped_file.h"

namespace loraxs {

enum class Dtype { kFloat64, kFloat32, kFloat16, kBFloat16, kInt64, kInt32, kInt16, kInt8, kUInt8, kBool, kOther };

int64_t dtype_bytes(Dtype dtype);     // bytes of one element; throws Error for kOther
const char* dtype_name(Dtype dtype);  // as safetensors spells it: "F32"; throws Error for kOther

/// One tensor inside a mapped file. `bytes` stays valid while `file` lives.
struct TensorView {
  Dtype dtype = Dtype::kFloat32;  // kOther: nothing computes with it, and it matters to nobody who does not read it
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const MappedFile> file;
  std::string dtype_text;  // as the file spells it
};

/// One .safetensors file, or several behind `model.safetensors.index.json`.
struct Safetensors {
  std::map<std::string, TensorView> tensors;    // sorted by name
  std::map<std::string, std::string> metadata;  // "__metadata__", empty if absent

  /// Throws Error naming path and tensor if it is missing.
  const TensorView& at(const std::string& name) const;
  /// Throws Error naming path and key if the entry is missing.
  const std::string& metadata_at(const std::string& key) const;
  /// A count in the metadata; `fallback` where the entry is missing. Throws Error when it is no whole number ≥ 0.
  int64_t metadata_count(const std::string& key, int64_t fallback) const;
  std::filesystem::path path;
};

/// The same checks on bytes in memory, which must outlive the result's views or be `file`'s; errors start with `path`.
Safetensors parse_safetensors(std::span<const std::byte> bytes, const std::filesystem::path& path,
                              const std::shared_ptr<const MappedFile>& file = nullptr);

/// Tensor names and the files they stand in, as model.safetensors.index.json lists them: names without folders. Throws
/// Error.
std::map<std::string, std::string> parse_shard_index(std::string_view text, const std::string& where);

/// Maps and checks a whole file before returning: header length against file size, JSON, non-negative shapes
/// without overflow, offsets in bounds, ascending without holes or overlaps, size = shape × dtype where the dtype is
/// one that we know. Throws Error.
Safetensors read_safetensors(const std::filesystem::path& path);

/// The weights of a Hugging Face folder: model.safetensors, or every shard that model.safetensors.index.json lists
/// (each listed tensor must be in its shard). Throws Error; for pytorch_model.bin it says the command that converts it.
Safetensors read_safetensors_folder(const std::filesystem::path& folder);

/// A tensor to write; `bytes` are little-endian, contiguous.
struct TensorBytes {
  Dtype dtype = Dtype::kFloat32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

/// The file's bytes: header padded with spaces to a multiple of 8, tensors in name order, so equal input gives equal
/// bytes.
std::vector<std::byte> serialize_safetensors(const std::map<std::string, TensorBytes>& tensors,
                                             const std::map<std::string, std::string>& metadata);

/// serialize + write_file_atomically.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, TensorBytes>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace loraxs
