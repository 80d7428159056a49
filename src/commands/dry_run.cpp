#include "commands/dry_run.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "api/opened_adapter.h"
#include "api/settings.h"
#include "api/task_encoder.h"
#include "data/example_view.h"
#include "data/task.h"
#include "eval/metrics.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/gguf.h"
#include "train/job.h"
#include "train/memory_estimate.h"
#include "train/recipe_layout.h"

namespace loraxs {
namespace {

/// Sizes of the data: counted where files and tokenizer are at hand, else official or unknown (0).
struct DataSizes {
  std::string source;  // for people
  int64_t train = 0, validation = 0, truncated = 0, tokens = 0;
};

DataSizes measure(const Task& task, const BaseModel& model, int64_t max_length) {
  if (task.train.empty()) {
    return {.source = task.official_train > 0 ? "files absent, official sizes" : "files absent",
            .train = task.official_train,
            .validation = task.official_validation};
  }
  DataSizes sizes{.source = "files read",
                  .train = static_cast<int64_t>(task.train.size()),
                  .validation = static_cast<int64_t>(task.validation.size())};
  const auto at = [&](const char* name) { return std::filesystem::exists(model.folder / name); };
  if (!is_gguf_path(model.folder) && !at("tokenizer.json") && !at("vocab.txt") && !at("vocab.json")) {
    sizes.source += ", no tokenizer to count tokens with";
    return sizes;
  }
  const auto tokenizer = tokenizer_of(model);
  EncodedExamples encoded = TaskEncoder(*tokenizer, model.folder).encode(task, task.train, max_length);
  sizes.truncated = encoded.num_truncated;
  sizes.tokens = ExampleView(std::move(encoded)).num_tokens();
  return sizes;
}

}  // namespace

BaseModel model_shape(const std::filesystem::path& path, const ReadingOptions& reading) {
  const ParsedConfig parsed = read_model_config(path, reading);
  return {.folder = std::filesystem::is_directory(path) || is_gguf_path(path) ? path : path.parent_path(),
          .architecture = parsed.architecture,
          .config = parsed.config,
          .reading = reading};
}

nlohmann::ordered_json plan_of_recipe(const Recipe& recipe, const std::string& where) {
  if (!recipe.fleet.is_null()) {
    throw Error(concat(where, ": fleet: expected none for a plan of one run, found a fleet, whose jobs are planned when ",
                       "their turn comes"));
  }
  const BaseModel model = model_shape(recipe.model, recipe.reading());
  if (recipe.train.max_length > model.config.max_length()) {
    throw Error(concat(where, ": train.max_length: expected at most ", model.config.max_length(),
                       " (the model's positions), found ", recipe.train.max_length));
  }
  Fields task_fields(recipe.task, where, "task");
  const Task task = load_task(task_fields, std::filesystem::current_path(), MissingFiles::kLeaveEmpty);
  if (!task.language_model()) check_metric(task.metric, task.regression(), where);
  const HeadLayout head = task_head(recipe.head, task, *model.architecture, where);
  const MethodRecipe method = resolve_budget(recipe.method, model, where);
  const Layout layout = recipe_layout(method, head, model, where);
  const auto jobs = static_cast<int64_t>(make_jobs(recipe.train, task.name).size());
  const DataSizes sizes = measure(task, model, recipe.train.max_length);
  const int64_t held_out = sizes.train > 0 ? num_held_out(recipe.train, sizes.train) : 0;
  const StepPlan plan = sizes.train > 0 ? plan_steps(recipe.train, sizes.train - held_out) : StepPlan{};
  const torch::ScalarType dtype = resolve_precision(recipe.train.precision);
  StepShape step = step_shape(recipe.train, jobs, sizes.train, sizes.tokens, dtype);
  step.starts_from_gradient = starts_from_gradient(recipe);
  const MemoryEstimate memory = estimate_memory(model, layout, step, where);
  int64_t basis_numbers = 0;
  for (size_t i = 0; i < layout.sites.size() && starts_from_basis(method); ++i) {
    basis_numbers += layout.ranks[i] * (layout.sites[i].in_features + layout.sites[i].out_features);
  }
  // The header names digests, provenance and the layout, which lists its sites where their ranks differ.
  const int64_t header = 2048 + static_cast<int64_t>(layout_to_json(layout, task.labels).dump().size());
  constexpr int64_t kFloat = 4;
  return {
      {"event", "dry_run"},
      {"model", recipe.model},
      {"weights", is_gguf_path(model.folder) || std::filesystem::exists(model.folder / "model.safetensors") ? "present"
                                                                                                            : "absent"},
      {"task", task.name},
      {"data", sizes.source},
      {"jobs", jobs},
      {"method", layout.method},
      {"sites", layout.sites.size()},
      {"targets", method.targets},
      {"rank", layout.largest_rank()},
      {"trained_parameters", layout.adapter_numbers},
      {"head_parameters", layout.row_size - layout.adapter_numbers},
      {"adapter_bytes_at_most", layout.row_size * kFloat + header},
      {"basis_bytes", basis_numbers * kFloat},
      {"train_examples", sizes.train - held_out},
      {"held_out_examples", held_out},
      {"validation_examples", sizes.validation},
      {"truncated_examples", sizes.truncated},
      {"tokens_per_epoch", sizes.tokens},
      {"steps_per_epoch", plan.steps_per_epoch},
      {"total_steps", plan.total_steps},
      {"warmup_steps", plan.warmup_steps},
      {"micro_batch_tokens_at_most", step.tokens},
      {"memory_bytes_estimate", memory.total()},
      {"memory_bytes_base", memory.base},
      {"memory_bytes_basis", memory.basis},
      {"memory_bytes_rows", memory.rows},
      {"memory_bytes_activations", memory.activations},
      {"memory_bytes_gradient_pass", memory.gradient_pass},
      {"precision", precision_name(dtype)}};
}

int dry_run(const Recipe& recipe, const std::string& where, const CommonOptions& common) {
  const nlohmann::ordered_json json = plan_of_recipe(recipe, where);
  if (common.json) {
    std::cout << json_text(json) << '\n';
    return 0;
  }
  for (const auto& [key, value] : json.items()) {
    if (key != "event")
      std::cout << key << ": " << (value.is_string() ? printable(value.get<std::string>()) : json_text(value)) << '\n';
  }
  return 0;
}

}  // namespace loraxs
