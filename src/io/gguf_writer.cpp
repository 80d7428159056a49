#include <cstring>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/gguf.h"

namespace loraxs {
namespace {

constexpr uint64_t kAlignment = 32;

template <typename T>
void append(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append<uint64_t>(out, text.size());
  out += text;
}

template <typename T>
std::string encoded(GgufKind kind, T value) {
  std::string out;
  append(out, static_cast<uint32_t>(kind));
  append(out, value);
  return out;
}

template <typename T>
std::string encoded_list(GgufKind element, std::span<const T> values) {
  std::string out;
  append(out, static_cast<uint32_t>(GgufKind::kArray));
  append(out, static_cast<uint32_t>(element));
  append<uint64_t>(out, values.size());
  for (const T value : values) append(out, value);
  return out;
}

uint64_t padding(uint64_t bytes) { return (kAlignment - bytes % kAlignment) % kAlignment; }

int64_t tensor_bytes(const GgufTensorSource& tensor) {
  const BlockTypeInfo& info = block_type_info(tensor.type);
  int64_t elements = 1;
  for (const int64_t size : tensor.shape) elements *= size;
  return info.row_bytes(elements);
}

}  // namespace

std::string gguf_uint32(uint32_t value) { return encoded(GgufKind::kUInt32, value); }
std::string gguf_float32(float value) { return encoded(GgufKind::kFloat32, value); }
std::string gguf_bool(bool value) { return encoded(GgufKind::kBool, static_cast<uint8_t>(value)); }

std::string gguf_string(std::string_view value) {
  std::string out;
  append(out, static_cast<uint32_t>(GgufKind::kString));
  append_text(out, value);
  return out;
}

std::string gguf_strings(std::span<const std::string> values) {
  std::string out;
  append(out, static_cast<uint32_t>(GgufKind::kArray));
  append(out, static_cast<uint32_t>(GgufKind::kString));
  append<uint64_t>(out, values.size());
  for (const std::string& value : values) append_text(out, value);
  return out;
}

std::string gguf_float32s(std::span<const float> values) { return encoded_list(GgufKind::kFloat32, values); }
std::string gguf_int32s(std::span<const int32_t> values) { return encoded_list(GgufKind::kInt32, values); }

void write_gguf(const std::filesystem::path& path, const std::vector<std::pair<std::string, std::string>>& metadata,
                const std::vector<GgufTensorSource>& tensors) {
  std::string header = "GGUF";
  append<uint32_t>(header, 3);
  append<uint64_t>(header, tensors.size());
  append<uint64_t>(header, metadata.size());
  for (const auto& [key, value] : metadata) {
    append_text(header, key);
    header += value;
  }
  uint64_t offset = 0;
  for (const GgufTensorSource& tensor : tensors) {
    append_text(header, tensor.name);
    append(header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) {
      append(header, static_cast<uint64_t>(*size));
    }
    append(header, static_cast<uint32_t>(tensor.type));
    append(header, offset);
    const auto bytes = static_cast<uint64_t>(tensor_bytes(tensor));
    offset += bytes + padding(bytes);
  }
  header.append(padding(header.size()), '\0');
  write_file_atomically(path, [&](const ByteSink& sink) {
    sink(std::as_bytes(std::span(header)));
    const std::vector<std::byte> zeros(kAlignment);
    for (const GgufTensorSource& tensor : tensors) {
      const std::vector<std::byte> bytes = tensor.bytes();
      if (static_cast<int64_t>(bytes.size()) != tensor_bytes(tensor)) {
        throw std::logic_error(concat("write_gguf: ", tensor.name, ": ", bytes.size(), " bytes for its shape"));
      }
      sink(bytes);
      sink(std::span(zeros).first(padding(bytes.size())));
    }
  });
}

}  // namespace loraxs
