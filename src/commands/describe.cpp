#include "commands/describe.h"

#include "adapt/exchange/peft_reader.h"
#include "api/opened_adapter.h"
#include "commands/session.h"
#include "io/error.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "store/reference.h"

namespace loraxs {
namespace {

int64_t bytes_at(const std::filesystem::path& path) { return static_cast<int64_t>(std::filesystem::file_size(path)); }

Description describe_basis(const std::filesystem::path& path, const Safetensors& file, nlohmann::ordered_json json) {
  Description basis{.json = std::move(json)};
  const auto text = [&](const char* key) { return file.metadata_at(key); };
  basis.say("what", concat("basis of ", file.tensors.size() / 2, " projections, rank ", text("rank")));
  basis.say("vectors",
            concat(text("vectors"), " of ", text("variant"), text("sigma") == "true" ? ", with Σ" : ", without Σ"));
  basis.say("base", text("base_id").substr(0, 16));
  basis.say("size", human_bytes(bytes_at(path)));
  DescribedTable sites{.title = "projections", .columns = {"site", "in", "out"}};
  for (const auto& [name, view] : file.tensors) {
    if (!name.ends_with(".a") || view.shape.size() != 2) continue;
    const std::string site = name.substr(0, name.size() - 2);
    const std::vector<int64_t>& b = file.at(site + ".b").shape;
    sites.rows.push_back({site, std::to_string(view.shape[1]), b.empty() ? "" : std::to_string(b[0])});
  }
  basis.tables.push_back(std::move(sites));
  return basis;
}

Description describe_safetensors(const std::filesystem::path& path) {
  const Safetensors file = read_safetensors(path);
  const auto format = file.metadata.find("format");
  const std::string name = format == file.metadata.end() ? "" : format->second;
  if (name.starts_with("loraxs-adapter-")) return describe_adapter(path);
  nlohmann::ordered_json tensors = nlohmann::ordered_json::object();
  DescribedTable table{.title = "tensors", .columns = {"tensor", "type", "shape"}};
  for (const auto& [tensor, view] : file.tensors) {
    tensors[tensor] = view.dtype_text + " " + shape_text(view.shape);
    table.rows.push_back({tensor, view.dtype_text, shape_text(view.shape)});
  }
  const bool is_basis = name == "loraxs-basis-1";
  nlohmann::ordered_json json = {{"kind", is_basis ? "basis" : "safetensors"},
                                 {"metadata", file.metadata},
                                 {"bytes", bytes_at(path)},
                                 {"tensors", tensors}};
  if (is_basis) return describe_basis(path, file, std::move(json));
  Description other{.json = std::move(json)};
  other.say("what", concat("safetensors file of ", file.tensors.size(), " tensors, no adapter or basis of loraxs"));
  other.say("size", human_bytes(bytes_at(path)));
  for (const auto& [key, value] : file.metadata) other.say(key, shortened(value, 200));
  other.tables.push_back(std::move(table));
  return other;
}

/// Adapters side by side, as `import --in` leaves them.
Description describe_adapters(const std::filesystem::path& folder) {
  const std::vector<std::filesystem::path> paths = adapters_in(folder);
  Description all{.json = {{"kind", "adapters"}, {"path", folder.string()}}};
  all.json["adapters"] = nlohmann::ordered_json::array();
  all.say("what", concat("folder of ", paths.size(), " adapters"));
  DescribedTable table{.title = "adapters", .columns = {"file", "method", "rank", "task", "base", "size"}};
  for (const std::filesystem::path& path : paths) {
    try {
      const nlohmann::ordered_json one = describe_adapter(path).json;
      all.json["adapters"].push_back(one);
      table.rows.push_back({path.filename().string(), one["method"], one["rank"].dump(), one["task"],
                            one["base_id"].get<std::string>().substr(0, 16), human_bytes(one["bytes"])});
    } catch (const Error& error) {
      all.json["adapters"].push_back({{"path", path.string()}, {"error", error.what()}});
      table.rows.push_back({path.filename().string(), "", "", "", "", error.what()});
    }
  }
  all.tables.push_back(std::move(table));
  return all;
}

bool has_adapters(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") return true;
  }
  return false;
}

}  // namespace

Description describe_path(const std::filesystem::path& path, const Settings& settings) {
  if (is_store_url(path.string())) return describe_adapter(path);
  if (!std::filesystem::exists(path)) throw Error(concat(path.string(), ": expected a file or folder, found none"));
  if (std::filesystem::is_directory(path)) {
    const auto has = [&](const char* name) { return std::filesystem::exists(path / name); };
    if (is_peft_folder(path)) return describe_peft(path);
    if (has("metrics.jsonl") || has("result.json") || has(".loraxs-run")) return describe_run(path);
    if (has("config.json")) return describe_model(path, settings);
    if (has_adapters(path)) return describe_adapters(path);
    throw Error(concat(path.string(),
                       ": expected the folder of a run, a model (config.json), a PEFT adapter "
                       "(adapter_config.json) or adapter files, found another folder"));
  }
  if (is_gguf_path(path)) return describe_gguf(path, settings);
  return describe_safetensors(path);
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
  return all;
}

}  // namespace loraxs
