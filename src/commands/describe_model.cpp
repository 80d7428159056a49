#include <map>
#include <optional>

#include "adapt/class_names.h"
#include "adapt/counts.h"
#include "api/opened_adapter.h"
#include "commands/describe.h"
#include "commands/session.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/gguf.h"
#include "text/chat_template.h"

namespace loraxs {
namespace {

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

/// What can be said of a model from its config: family, size, where adapters may go.
void say_config(Description& found, const std::filesystem::path& path, const ReadingOptions& reading) {
  const auto [architecture, config] = read_model_config(path, reading);
  const std::vector<Site> sites = list_sites(*architecture, config);
  const bool decoder = architecture->kind == ModelKind::kDecoder;
  const int64_t numbers = count_model(*architecture, config);
  found.json.update({{"family", architecture->model_type},
                     {"model_kind", decoder ? "decoder" : "encoder"},
                     {"layers", config.num_hidden_layers},
                     {"hidden_size", config.hidden_size},
                     {"heads", config.num_attention_heads},
                     {"vocabulary", config.vocab_size},
                     {"max_positions", config.max_length()},
                     {"parameters", numbers},
                     {"sites", sites.size()}});
  found.say("family",
            concat(architecture->model_type, ", ", decoder ? "decoder" : "encoder", ", ", config.num_hidden_layers,
                   " layers of ", config.hidden_size, ", ", config.num_attention_heads, " heads"));
  found.say("parameters", std::to_string(numbers));
  found.say("texts", concat("up to ", config.max_length(), " tokens, vocabulary of ", config.vocab_size));
  found.say("adapts", concat(sites.size(), " projections: ", joined(architecture->modules),
                             "; the paper's: ", joined(architecture->paper_targets)));
}

/// Class names of a classifier's config; empty where it is none.
std::vector<std::string> labels_of(const std::filesystem::path& folder) {
  const nlohmann::json config = read_json(folder / "config.json");
  if (!config.is_object() || !config.contains("architectures")) return {};
  if (json_text(config["architectures"]).find("ForSequenceClassification") == std::string::npos) return {};
  return class_names_in(folder);
}

}  // namespace

Description describe_model(const std::filesystem::path& folder, const Settings& settings) {
  Description found{.json = {{"kind", "model"}, {"path", folder.string()}}};
  found.say("what", "model folder");
  say_config(found, folder, settings.reading);
  if (const std::vector<std::string> labels = labels_of(folder); !labels.empty()) {
    found.json["labels"] = labels;
    found.say("labels", joined(labels));
  }
  const bool has_template = ChatTemplate::load(folder).has_value();
  found.json["chat_template"] = has_template;
  found.say("chat template", has_template ? "yes" : "no");
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") bytes += static_cast<int64_t>(entry.file_size());
  }
  found.json["weight_bytes"] = bytes;
  found.say("size", human_bytes(bytes));
  try {
    const std::string base_id = open_model(folder, settings).base_id;
    found.json["base_id"] = base_id;
    found.say("base id", base_id.substr(0, 16));
  } catch (const Error& error) {
    found.json["error"] = error.what();
    found.say("does not load", error.what());
  }
  return found;
}

Description describe_gguf(const std::filesystem::path& path, const Settings& settings) {
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
  const double bits = numbers > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(numbers) : 0.0;
  DescribedTable by_type{.title = "tensors by type", .columns = {"type", "tensors", "size"}};
  for (const auto& [type, total] : totals) {
    types[type] = {{"tensors", total.tensors}, {"bytes", total.bytes}};
    by_type.rows.push_back({type, std::to_string(total.tensors), human_bytes(total.bytes)});
  }
  Description found{.json = {{"kind", "gguf"},
                             {"version", file.version},
                             {"alignment", file.alignment},
                             {"bytes", std::filesystem::file_size(path)},
                             {"numbers", numbers},
                             {"tensor_bytes", bytes},
                             {"bits_per_number", bits},
                             {"types", types},
                             {"metadata", metadata},
                             {"tensors", tensors}}};
  const auto text = [&](const char* key) {
    const auto entry = metadata.find(key);
    return entry == metadata.end() ? std::string() : entry->is_string() ? entry->get<std::string>() : entry->dump();
  };
  const bool adapter = text("general.type") == "adapter";
  found.say("what", concat("GGUF file of ", file.tensors.size(), " tensors", adapter ? ", an adapter (" : "",
                           adapter ? text("adapter.type") + ")" : ""));
  if (!text("general.name").empty()) found.say("name", shortened(text("general.name"), 200));
  if (!text("general.architecture").empty()) found.say("architecture", shortened(text("general.architecture"), 200));
  found.say("size", concat(human_bytes(static_cast<int64_t>(std::filesystem::file_size(path))), ", ", numbers,
                           " numbers of ", bits, " bits"));
  if (!adapter && !text("general.architecture").empty()) {
    try {
      say_config(found, path, settings.reading);
    } catch (const Error& error) {
      found.say("does not load", error.what());
    }
  }
  if (!text("tokenizer.ggml.model").empty()) {
    found.say("tokenizer",
              concat(shortened(text("tokenizer.ggml.model"), 60), " ", shortened(text("tokenizer.ggml.pre"), 60),
                     ", chat template ", metadata.contains("tokenizer.chat_template") ? "yes" : "no"));
  }
  found.say("more", "--json lists metadata and tensors");
  found.tables.push_back(std::move(by_type));
  return found;
}

}  // namespace loraxs
