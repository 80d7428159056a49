#include <iostream>
#include <nlohmann/json.hpp>

#include "adapt/adapter_file.h"
#include "commands/commands.h"
#include "commands/session.h"
#include "io/error.h"
#include "io/safetensors.h"

namespace loraxs {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
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
  const Safetensors file = read_safetensors(path);
  const auto format = file.metadata.find("format");
  if (format != file.metadata.end() && format->second == "loraxs-adapter-1") {
    const AdapterFile adapter = read_adapter(path);
    nlohmann::json json = {{"kind", "adapter"},
                           {"base_id", adapter.base_id},
                           {"basis_id", adapter.basis_id},
                           {"alpha", adapter.alpha},
                           {"numbers", adapter.row.size()},
                           {"layout", nlohmann::json::parse(adapter.layout_json)},
                           {"bytes", std::filesystem::file_size(path)},
                           {"task", adapter.provenance.task},
                           {"max_length", adapter.provenance.max_length},
                           {"precision", adapter.provenance.precision},
                           {"gemm", adapter.provenance.gemm_record}};
    const auto training = nlohmann::json::parse(adapter.provenance.summary, nullptr, false);
    if (!training.is_discarded()) json["training"] = training;
    return json;
  }
  nlohmann::json json = {
      {"kind", format != file.metadata.end() && format->second == "loraxs-basis-1" ? "basis" : "safetensors"},
      {"metadata", file.metadata}};
  nlohmann::json tensors = nlohmann::json::object();
  for (const auto& [name, view] : file.tensors)
    tensors[name] = std::string(dtype_name(view.dtype)) + " " + shape_text(view.shape);
  json["tensors"] = tensors;
  return json;
}

}  // namespace

int run_show(const ShowOptions& options, const CommonOptions& common) {
  const nlohmann::json json = describe(options.path);
  std::cout << (common.json ? json.dump() : json.dump(2)) << '\n';
  return 0;
}

}  // namespace loraxs
