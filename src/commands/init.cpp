#include <iostream>
#include <nlohmann/json.hpp>

#include "commands/commands.h"
#include "data/task.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "train/recipe.h"

namespace loraxs {

int run_init(const InitOptions& options, const CommonOptions&) {
  if (std::filesystem::exists(options.path))
    throw Error(concat(options.path, ": expected no file there, found one; name another"));
  Recipe recipe{.model = options.model, .output = "runs/" + options.task};
  if (options.task == "qnli") {
    recipe.task = {{"name", "qnli"}, {"data", "data/qnli"}};
  } else {
    Fields(nlohmann::json{{"task", options.task}}, "command line").choice("task", "", task_names());
    recipe.task = {{"name", options.task},
                   {"train", "train.csv"},
                   {"validation", "validation.csv"},
                   {"text", "text"},
                   {"label", "label"}};
  }
  write_file_atomically(options.path, recipe_template(recipe));
  std::cout << options.path << ": written; edit it, then run: loraxs train " << options.path << '\n';
  return 0;
}

}  // namespace loraxs
