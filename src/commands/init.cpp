#include <iostream>
#include <nlohmann/json.hpp>

#include "commands/commands.h"
#include "data/task.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "train/recipe.h"

namespace loraxs {

int run_init(const InitOptions& options, const CommonOptions&) {
  refuse_existing(options.path, "file");
  const auto given = [](const std::string& value, const char* fallback) { return value.empty() ? fallback : value; };
  const bool own = !options.train.empty() || !options.text.empty() || !options.label.empty();
  const std::string task = given(options.task, own ? "classification" : "qnli");
  Recipe recipe{.model = options.model, .output = "runs/" + task};
  if (task == "qnli") {
    if (own) throw Error("--train, --text and --label: expected --task classification or regression, found qnli");
    recipe.task = {{"name", "qnli"}, {"data", "data/qnli"}};
  } else {
    Fields(nlohmann::json{{"task", task}}, "command line").choice("task", "", task_names());
    recipe.task = {{"name", task},
                   {"train", given(options.train, "train.csv")},
                   {"validation", 0.2},
                   {"text", given(options.text, "text")},
                   {"label", given(options.label, "label")}};
  }
  write_file_atomically(options.path, recipe_template(recipe));
  std::cout << options.path << ": written; edit it, then run: loraxs train " << options.path << '\n';
  return 0;
}

}  // namespace loraxs
