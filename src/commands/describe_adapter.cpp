#include <algorithm>
#include <optional>
#include <set>
#include <sstream>

#include "adapt/adapter_file.h"
#include "adapt/exchange/peft_reader.h"
#include "api/store.h"
#include "commands/describe.h"
#include "commands/session.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/safetensors.h"
#include "store/row_numbers.h"
#include "train/recipe.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

/// The base model's place, as the recipe of the run that the adapter lies in says it; empty: it lies in none.
std::string model_of_run(const std::filesystem::path& adapter) {
  if (is_store_url(adapter.string())) return "";
  const std::filesystem::path recipe = std::filesystem::absolute(adapter).parent_path().parent_path() / "recipe.yaml";
  if (!std::filesystem::exists(recipe)) return "";
  try {
    return read_recipe(recipe, {}).model;
  } catch (const Error&) {
    return "";  // what stands two folders up need not be a run's
  }
}

/// Of "0-5" or [0, 1, 5]; 0: neither.
int64_t count_layers(const nlohmann::json& layers) {
  if (layers.is_array()) return static_cast<int64_t>(layers.size());
  int64_t first = 0, last = -1;
  char dash = 0;
  std::istringstream range(layers.is_string() ? layers.get<std::string>() : "");
  constexpr int64_t kMostLayers = 100'000;  // whatever a file says
  const bool read = static_cast<bool>(range >> first >> dash >> last);
  return !read || first < 0 || last < first || last > kMostLayers ? 0 : last - first + 1;
}

/// "query, value of 6 layers", or the number of sites where they are listed one by one.
std::string places_of(const nlohmann::json& layout) {
  if (!layout.contains("modules") || !layout.contains("layers")) {
    return layout.contains("sites") ? concat(layout["sites"].size(), " projections with ranks of their own") : "";
  }
  std::vector<std::string> modules;
  for (const auto& module : layout["modules"]) {
    if (module.is_string()) modules.push_back(module.get<std::string>());
  }
  const int64_t layers = count_layers(layout["layers"]);
  return concat(joined(modules), " of ", layers, layers == 1 ? " layer" : " layers");
}

/// The largest rank that the layout names.
int64_t rank_of(const nlohmann::json& layout) {
  if (layout.contains("rank") && layout["rank"].is_number_integer()) return layout["rank"].get<int64_t>();
  int64_t largest = 0;
  if (layout.contains("sites") && layout["sites"].is_object()) {
    for (const auto& [site, rank] : layout["sites"].items()) {
      if (rank.is_number_integer()) largest = std::max(largest, rank.get<int64_t>());
    }
  }
  return largest;
}

}  // namespace

Description describe_adapter(const std::filesystem::path& path) {
  std::optional<StoredAdapter> stored;
  if (is_store_url(path.string())) stored.emplace(get_stored_adapter(path.string()));
  const AdapterFile adapter = stored ? std::move(stored->adapter) : read_adapter(path);
  const nlohmann::json layout = parse_json(adapter.layout_json, path.string());
  const auto bytes = static_cast<int64_t>(stored ? stored->row_bytes : std::filesystem::file_size(path));
  const std::string model = model_of_run(path);
  Description found{.json = {{"kind", "adapter"},
                             {"path", path.string()},
                             {"method", adapter.method},
                             {"rank", rank_of(layout)},
                             {"alpha", adapter.alpha},
                             {"task", adapter.provenance.task},
                             {"base_id", adapter.base_id},
                             {"model", model},
                             {"basis_id", adapter.basis_id},
                             {"numbers", adapter.row.size()},
                             {"bytes", bytes},
                             {"layout", layout},
                             {"max_length", adapter.provenance.max_length},
                             {"precision", adapter.provenance.precision},
                             {"gemm", adapter.provenance.gemm_record}}};
  const nlohmann::json training = json_or_null(adapter.provenance.summary);
  if (!training.is_null()) found.json["training"] = training;
  if (stored) {
    found.json["version"] = stored->header.version;
    found.json["dtype"] = row_dtype_name(stored->header.dtype);
  }

  found.say("what", concat("adapter, ", adapter.method, ", rank ", rank_of(layout), ", alpha ", adapter.alpha));
  if (const std::string places = places_of(layout); !places.empty()) found.say("adapts", places);
  if (!adapter.provenance.task.empty()) found.say("task", adapter.provenance.task);
  if (layout.contains("labels") && layout["labels"].is_array() && !layout["labels"].empty()) {
    std::vector<std::string> labels;
    for (const auto& label : layout["labels"])
      labels.push_back(label.is_string() ? label.get<std::string>() : label.dump());
    found.say("labels", joined(labels));
  }
  found.say("base", concat(adapter.base_id.substr(0, 16), model.empty() ? "" : concat(" (", model, ")")));
  if (!adapter.basis_id.empty()) found.say("basis", adapter.basis_id.substr(0, 16));
  if (training.is_object()) {
    std::string how;
    for (const auto& [key, value] : training.items()) {
      if (!value.is_structured()) how += concat(how.empty() ? "" : ", ", key, " ", json_text(value));
    }
    found.say("trained", how);
  }
  if (stored)
    found.say("stored", concat("version ", stored->header.version, ", ", row_dtype_name(stored->header.dtype)));
  found.say("size", concat(human_bytes(bytes), ", ", adapter.row.size(), " numbers"));
  if (adapter.provenance.max_length > 0) found.say("texts", concat("up to ", adapter.provenance.max_length, " tokens"));
  return found;
}

Description describe_peft(const std::filesystem::path& folder) {
  const std::string where = (folder / "adapter_config.json").string();
  Fields config(read_json(where), where);
  config.ignore_unknown();
  const std::string type = config.text("peft_type", ""), base = config.text("base_model_name_or_path", ""),
                    task = config.text("task_type", "");
  const int64_t rank = config.non_negative_int("r", 0);
  const nlohmann::json targets = config.raw("target_modules"), alpha = config.raw("lora_alpha");
  const std::filesystem::path weights = folder / "adapter_model.safetensors";
  if (!std::filesystem::exists(weights))
    throw Error(concat(folder.string(), ": expected adapter_model.safetensors beside adapter_config.json, found none"));
  const Safetensors file = read_safetensors(weights);
  std::set<std::string> modules;
  int64_t numbers = 0;
  bool has_r = false;
  for (const auto& [name, view] : file.tensors) {
    int64_t count = 1;
    for (const int64_t size : view.shape) count *= size;
    numbers += count;
    has_r = has_r || name.find("lora_latent_mapping") != std::string::npos;
    if (const size_t at = name.find(".lora_A"); at != std::string::npos) modules.insert(name.substr(0, at));
  }
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(weights));
  Description found{.json = {{"kind", "peft"},
                             {"path", folder.string()},
                             {"peft_type", type},
                             {"lora_xs", has_r},
                             {"rank", rank},
                             {"alpha", alpha},
                             {"target_modules", targets},
                             {"task_type", task},
                             {"base_model", base},
                             {"modules", modules.size()},
                             {"numbers", numbers},
                             {"bytes", bytes}}};
  found.say("what", concat("PEFT adapter, ", has_r ? "LoRA-XS (A, B and R)" : type, ", rank ", rank, ", alpha ",
                           json_text(alpha)));
  found.say("adapts", concat(modules.size(), " modules: ", shortened(json_text(targets), 200)));
  if (!task.empty()) found.say("task", task);
  found.say("base", base.empty() ? "not named" : base);
  found.say("size", concat(human_bytes(bytes), ", ", numbers, " numbers"));
  found.say("use it", concat("loraxs import --model MODEL --from ", folder.string(), " --out adapter.safetensors"));
  return found;
}

}  // namespace loraxs
