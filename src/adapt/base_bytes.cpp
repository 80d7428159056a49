#include "adapt/base_bytes.h"

#include "adapt/counts.h"
#include "io/gguf.h"

namespace loraxs {
namespace {

/// The base's weights as their files hold them.
int64_t stored_bytes(const BaseModel& model) {
  if (is_gguf_path(model.folder)) return static_cast<int64_t>(std::filesystem::file_size(model.folder));
  int64_t bytes = 0;
  if (std::filesystem::is_directory(model.folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(model.folder)) {
      if (entry.path().extension() == ".safetensors") bytes += static_cast<int64_t>(entry.file_size());
    }
  }
  if (bytes > 0) return bytes;
  return count_model(*model.architecture, model.config) * (model.architecture->kind == ModelKind::kDecoder ? 2 : 4);
}

}  // namespace

int64_t resident_base_bytes(const BaseModel& model, torch::ScalarType dtype, WeightMemory memory, int64_t directions) {
  if (memory == WeightMemory::kTight) return kProcessBytes + stored_bytes(model);
  int64_t copies = count_weights(list_sites(*model.architecture, model.config));
  if (model.architecture->kind == ModelKind::kDecoder) copies += model.config.vocab_size * model.config.hidden_size;
  if (memory == WeightMemory::kInt8) return kProcessBytes + copies * 9 / 8;  // eight bits and a scale; fours take less
  return kProcessBytes + directions * copies * static_cast<int64_t>(c10::elementSize(dtype));
}

}  // namespace loraxs
