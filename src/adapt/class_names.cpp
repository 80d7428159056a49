#include "adapt/class_names.h"

#include <nlohmann/json.hpp>

#include "io/error.h"
#include "io/json.h"

namespace loraxs {

void add_head_to_config(nlohmann::ordered_json& config, const HeadLayout& head, const std::vector<std::string>& classes,
                        const Architecture& architecture) {
  config["architectures"] = {architecture.head.model_class};
  const std::vector<std::string> labels = classes.empty() ? numbered_classes(head.outputs) : classes;
  nlohmann::ordered_json names = nlohmann::ordered_json::object(), indices = nlohmann::ordered_json::object();
  for (size_t i = 0; i < labels.size(); ++i) {
    names[std::to_string(i)] = labels[i];
    indices[labels[i]] = i;
  }
  config["id2label"] = names;
  config["label2id"] = indices;
  config["problem_type"] = head.regression ? "regression" : "single_label_classification";
}

std::vector<std::string> class_names_in(const std::filesystem::path& folder, std::optional<int64_t> outputs) {
  const std::filesystem::path path = folder / "config.json";
  if (!std::filesystem::exists(path)) return {};
  const nlohmann::json config = read_json(path);
  if (!config.is_object() || !config.contains("id2label") || !config["id2label"].is_object()) return {};
  const nlohmann::json& names = config["id2label"];
  const auto count = static_cast<int64_t>(names.size());
  if (outputs && count != *outputs) return {};
  std::vector<std::string> labels;
  labels.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    const auto found = names.find(std::to_string(i));
    if (found == names.end() || !found->is_string()) return {};
    labels.push_back(found->get<std::string>());
  }
  return labels;
}

std::vector<std::string> numbered_classes(int64_t outputs) {
  std::vector<std::string> labels;
  labels.reserve(outputs);
  for (int64_t i = 0; i < outputs; ++i) labels.push_back(concat("LABEL_", i));
  return labels;
}

}  // namespace loraxs
