// adapt/class_names.h: names of classes in a config.json of Hugging Face: id2label and label2id.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "adapt/layout.h"

namespace loraxs {

/// Says in a model's config.json that it has this head of these classes: architectures, id2label, label2id,
/// problem_type.
void add_head_to_config(nlohmann::ordered_json& config, const HeadLayout& head, const std::vector<std::string>& classes,
                        const Architecture& architecture);

/// The names that a folder's config.json gives to `outputs` classes, or to any number of them; empty where it gives
/// none, or another number. Throws Error for a damaged file.
std::vector<std::string> class_names_in(const std::filesystem::path& folder, std::optional<int64_t> outputs = {});

/// LABEL_0, LABEL_1, …, as transformers calls classes without names.
std::vector<std::string> numbered_classes(int64_t outputs);

}  // namespace loraxs
