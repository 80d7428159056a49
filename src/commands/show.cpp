#include <iostream>
#include <nlohmann/json.hpp>

#include "adapt/adapter_file.h"
#include "commands/commands.h"
#include "commands/session.h"
#include "io/error.h"
#include "io/gguf.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace loraxs {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

/// A metadata value as it is, long ones by their size: vocabularies have 100,000 entries.
nlohmann::json metadata_json(const GgufValue& value) {
  constexpr uint64_t kLongest = 16;
  if (const auto flag = value.boolean()) return *flag;
  if (const auto integer = value.integer()) return *integer;
  if (const auto number = value.number()) return *number;
  if (const auto text = value.text()) return *text;
  if (value.count <= kLongest) {
    if (const auto strings = value.strings()) return *strings;
    if (const auto integers = value.integers()) return *integers;
    if (const auto numbers = value.numbers()) return *numbers;
  }
  return concat(value.count, " × ", gguf_kind_name(value.element));
}

nlohmann::json describe_gguf(const std::filesystem::path& path) {
  const Gguf file = read_gguf(path);
  nlohmann::json metadata = nlohmann::json::object(), tensors = nlohmann::json::object(),
                 types = nlohmann::json::object();
  for (const auto& [key, value] : file.metadata) metadata[key] = metadata_json(value);
  struct TypeTotal {
    int64_t tensors = 0, bytes = 0;
  };
  std::map<std::string, TypeTotal> totals;
  int64_t numbers = 0, bytes = 0;
  for (const auto& [name, tensor] : file.tensors) {
    const char* type = block_type_info(tensor.type).name;
    tensors[name] = concat(type, " ", shape_text(tensor.shape));
    int64_t count = 1;
    for (const int64_t size : tensor.shape) count *= size;
    numbers += count;
    bytes += static_cast<int64_t>(tensor.bytes.size());
    TypeTotal& total = totals[type];
    ++total.tensors;
    total.bytes += static_cast<int64_t>(tensor.bytes.size());
  }
  for (const auto& [type, total] : totals) types[type] = {{"tensors", total.tensors}, {"bytes", total.bytes}};
  return {{"kind", "gguf"},
          {"version", file.version},
          {"alignment", file.alignment},
          {"bytes", std::filesystem::file_size(path)},
          {"numbers", numbers},
          {"tensor_bytes", bytes},
          {"bits_per_number", numbers > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(numbers) : 0.0},
          {"types", types},
          {"metadata", metadata},
          {"tensors", tensors}};
}

nlohmann::json describe(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    if (!std::filesystem::exists(path / "metrics.jsonl"))
      throw Error(concat(path.string(), ": expected a run folder or a file, found another folder"));
    nlohmann::json json = {{"kind", "run"}, {"path", path.string()}, {"adapters", nlohmann::json::array()}};
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.path().filename() == "best.safetensors") json["adapters"].push_back(entry.path().string());
    }
    return json;
  }
  if (is_gguf_path(path)) return describe_gguf(path);
  const Safetensors file = read_safetensors(path);
  const auto format = file.metadata.find("format");
  if (format != file.metadata.end() && format->second.starts_with("loraxs-adapter-")) {
    const AdapterFile adapter = read_adapter(path);
    nlohmann::json json = {{"kind", "adapter"},
                           {"base_id", adapter.base_id},
                           {"basis_id", adapter.basis_id},
                           {"alpha", adapter.alpha},
                           {"numbers", adapter.row.size()},
                           {"layout", parse_json(adapter.layout_json, path.string())},
                           {"bytes", std::filesystem::file_size(path)},
                           {"task", adapter.provenance.task},
                           {"max_length", adapter.provenance.max_length},
                           {"precision", adapter.provenance.precision},
                           {"gemm", adapter.provenance.gemm_record}};
    const auto training = json_or_null(adapter.provenance.summary);
    if (!training.is_null()) json["training"] = training;
    return json;
  }
  nlohmann::json json = {
      {"kind", format != file.metadata.end() && format->second == "loraxs-basis-1" ? "basis" : "safetensors"},
      {"metadata", file.metadata}};
  nlohmann::json tensors = nlohmann::json::object();
  for (const auto& [name, view] : file.tensors) tensors[name] = view.dtype_text + " " + shape_text(view.shape);
  json["tensors"] = tensors;
  return json;
}

}  // namespace

int run_show(const ShowOptions& options, const CommonOptions& common) {
  const nlohmann::json json = describe(options.path);
  std::cout << json_text(json, common.json ? -1 : 2) << '\n';
  return 0;
}

}  // namespace loraxs
