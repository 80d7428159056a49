#include <algorithm>
#include <cmath>
#include <optional>

#include "commands/describe.h"
#include "commands/session.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/yaml.h"
#include "train/checkpoint.h"
#include "train/job.h"
#include "train/recipe.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

/// Jobs that have an adapter: their folders, by name.
std::vector<std::filesystem::path> job_folders(const std::filesystem::path& run) {
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    if (std::filesystem::exists(entry.path() / "best.safetensors")) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

std::string number_text(const nlohmann::json& value) {
  if (!value.is_number()) return value.is_null() ? "" : json_text(value);
  return concat(value.get<double>());
}

/// Settings and seeds as rows; names of the jobs' folders where the recipe still tells them.
DescribedTable jobs_table(const std::filesystem::path& run, const nlohmann::json& result, const std::string& metric,
                          const std::optional<Recipe>& recipe) {
  DescribedTable table{.title = "jobs",
                       .columns = {"learning rate", "head", "seed", metric, "best epoch", "adapter", "size"}};
  std::vector<Job> jobs;
  if (recipe) jobs = make_jobs(recipe->train, result.value("task", ""));
  size_t next = 0;
  for (const auto& setting : result.value("settings", nlohmann::json::array())) {
    for (const auto& seed : setting.value("seeds", nlohmann::json::array())) {
      const std::filesystem::path adapter =
          next < jobs.size() ? run / jobs[next].name / "best.safetensors" : std::filesystem::path();
      ++next;
      const bool there = !adapter.empty() && std::filesystem::exists(adapter);
      table.rows.push_back({number_text(setting.value("learning_rate", nlohmann::json())),
                            number_text(setting.value("head_learning_rate", nlohmann::json())),
                            number_text(seed.value("seed", nlohmann::json())),
                            number_text(seed.value("value", nlohmann::json())),
                            number_text(seed.value("best_epoch", nlohmann::json())),
                            there                    ? adapter.string()
                            : seed.contains("ended") ? "ended early"
                                                     : "",
                            there ? human_bytes(static_cast<int64_t>(std::filesystem::file_size(adapter))) : ""});
    }
  }
  return table;
}

}  // namespace

Description describe_run(const std::filesystem::path& folder) {
  Description found{.json = {{"kind", "run"}, {"path", folder.string()}, {"adapters", Json::array()}}};
  for (const std::filesystem::path& job : job_folders(folder))
    found.json["adapters"].push_back((job / "best.safetensors").string());
  std::optional<Recipe> recipe;
  if (std::filesystem::exists(folder / "recipe.yaml")) recipe = read_recipe(folder / "recipe.yaml", {});
  const std::filesystem::path result_path = folder / "result.json";
  const bool finished = std::filesystem::exists(result_path);
  const nlohmann::json result = finished ? read_json(result_path) : nlohmann::json::object();
  if (!result.is_object()) throw Error(concat(result_path.string(), ": expected a JSON object, found another value"));
  const int64_t step = newest_checkpoint_step(folder);
  found.json["finished"] = finished;
  if (step > 0) found.json["step"] = step;
  if (recipe) {
    found.json["model"] = recipe->model;
    found.json["task"] = recipe->task;
    found.json["method"] = recipe->method.name;
    found.json["rank"] = recipe->method.rank;
  }
  found.say("what", finished ? "finished run" : concat("run that is not finished, saved at step ", step));
  if (recipe) {
    found.say("task", shortened(yaml_flow(recipe->task), 200));
    found.say("base", recipe->model);
    found.say("method", concat(recipe->method.name, ", rank ", recipe->method.rank, ", alpha ", recipe->method.alpha));
  }
  if (!finished) {
    found.say("go on", "loraxs train RECIPE --resume, with the recipe and the settings it was started with");
    return found;
  }
  try {
    for (const char* key :
         {"task", "rank", "metric", "value", "standard_deviation", "best_epoch", "learning_rate", "head_learning_rate",
          "trained_parameters", "head_parameters", "adapter_bytes", "steps", "settings"}) {
      if (result.contains(key)) found.json[key] = result.at(key);
    }
    const std::string metric = result.value("metric", "value");
    const nlohmann::json value = result.value("value", nlohmann::json()),
                         spread = result.value("standard_deviation", nlohmann::json());
    const size_t seeds = result.value("seeds", nlohmann::json::array()).size();
    found.say("score", value.is_null() ? "none: no validation data"
                                       : concat(metric, " ", number_text(value),
                                                spread.is_null() ? "" : concat(" ± ", number_text(spread)),
                                                ", median of ", seeds, seeds == 1 ? " seed" : " seeds"));
    found.say("trained", concat(result.value("trained_parameters", int64_t{0}), " numbers in adapters, ",
                                result.value("head_parameters", int64_t{0}), " in the head, ",
                                result.value("steps", int64_t{0}), " steps"));
    found.say("size", concat(human_bytes(result.value("adapter_bytes", int64_t{0})), " per adapter"));
    found.tables.push_back(jobs_table(folder, result, metric, recipe));
  } catch (const nlohmann::json::exception&) {
    throw Error(concat(result_path.string(), ": expected the result of a run as train writes it, found other values"));
  }
  return found;
}

}  // namespace loraxs
