// tests/support/task_text.h: tasks as a recipe writes them, and the small files they read.
#pragma once
#include <fstream>
#include <string>

#include "data/task.h"
#include "io/fields.h"
#include "io/yaml.h"
#include "support/temporary_folder.h"

namespace loraxs::test {

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// The task of a recipe's `task` section in YAML, whose files lie in `folder`.
inline Task load_task_of(const TemporaryFolder& folder, const std::string& yaml) {
  Fields fields(parse_yaml(yaml, "recipe.yaml"), "recipe.yaml", "task");
  return load_task(fields, folder.path());
}

}  // namespace loraxs::test
