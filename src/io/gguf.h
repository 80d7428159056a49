// io/gguf.h: the GGUF container (llama.cpp): magic, version, counts, metadata, tensor descriptions, aligned tensor
// data.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/block_type.h"
#include "io/mapped_file.h"

namespace loraxs {

/// Types of metadata values, by their number in the file.
enum class GgufKind : uint32_t {
  kUInt8,
  kInt8,
  kUInt16,
  kInt16,
  kUInt32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUInt64,
  kInt64,
  kFloat64
};
const char* gguf_kind_name(GgufKind kind);  // "uint32"

/// One metadata value where it lies in the file; checked when the file was opened, so that reading cannot run over.
struct GgufValue {
  GgufKind kind = GgufKind::kUInt32;
  GgufKind element = GgufKind::kUInt32;  // of an array
  uint64_t count = 1;                    // elements of an array
  std::span<const std::byte> payload;    // the text of a string, the elements of an array, else the number
  std::span<const std::byte> encoded;    // the whole value with its type, as it may be written into another file

  /// Nothing where the value is of another type (an integer out of int64's range counts as none).
  std::optional<int64_t> integer() const;
  std::optional<double> number() const;  // of floats and integers
  std::optional<bool> boolean() const;
  std::optional<std::string_view> text() const;
  std::optional<std::vector<std::string_view>> strings() const;  // of an array of strings
  std::optional<std::vector<int64_t>> integers() const;          // of an array of integers or booleans
  std::optional<std::vector<double>> numbers() const;            // of an array of floats or integers
};

/// One tensor in the mapped file. `bytes` stay valid while `file` lives.
struct GgufTensor {
  BlockType type = BlockType::kF32;  // maybe one that is not readable
  std::vector<int64_t> shape;        // slowest dimension first, as everywhere in loraxs; the file has the reverse
  std::span<const std::byte> bytes;
  std::shared_ptr<const MappedFile> file;
};

struct Gguf {
  std::filesystem::path path;
  std::shared_ptr<const MappedFile> file;
  uint32_t version = 0;
  uint64_t alignment = 0;
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::map<std::string, GgufTensor, std::less<>> tensors;

  bool has(std::string_view key) const { return metadata.find(key) != metadata.end(); }
  /// The value under a key; Error naming path, key, the expected and the found type where it is missing or another.
  int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  bool boolean(std::string_view key) const;
  std::string_view text(std::string_view key) const;
  std::vector<std::string_view> strings(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;
  /// Throws Error naming path and tensor if it is missing.
  const GgufTensor& tensor(std::string_view name) const;
};

/// True for a file whose name ends in .gguf.
bool is_gguf_path(const std::filesystem::path& path);

/// Maps a file (versions 2 and 3) and checks it whole before returning: counts and lengths against what is left of the
/// file before anything is allocated for them, known types, names that stand twice, dimensions without overflow, whole
/// blocks, alignment, tensors inside the file and not over each other. Throws Error.
Gguf read_gguf(const std::filesystem::path& path);

/// Values for write_gguf.
std::string gguf_uint32(uint32_t value);
std::string gguf_float32(float value);
std::string gguf_bool(bool value);
std::string gguf_string(std::string_view value);
std::string gguf_strings(std::span<const std::string> values);
std::string gguf_float32s(std::span<const float> values);
std::string gguf_int32s(std::span<const int32_t> values);

/// A tensor to write. `bytes` is asked once, when its turn comes: one tensor at a time is in memory.
struct GgufTensorSource {
  std::string name;
  BlockType type = BlockType::kF32;
  std::vector<int64_t> shape;  // slowest first
  std::function<std::vector<std::byte>()> bytes;
};

/// Writes a version 3 file in the order given, complete or absent. `metadata`: keys with encoded values, without
/// general.alignment (32 is the format's default).
void write_gguf(const std::filesystem::path& path, const std::vector<std::pair<std::string, std::string>>& metadata,
                const std::vector<GgufTensorSource>& tensors);

}  // namespace loraxs
