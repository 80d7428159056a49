#include "api/studies/study_runs.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <span>

#include "api/fleet.h"
#include "api/training.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/peak_memory.h"
#include "io/sha256.h"
#include "train/recipe_changes.h"
#include "train/train_observer.h"

namespace loraxs {
namespace {

namespace fs = std::filesystem;

constexpr const char* kData = "data/";

/// Keys of a task section that name files or folders.
constexpr const char* kPlaces[] = {"data", "train", "validation"};

const std::vector<std::string>& quick_changes() {
  static const std::vector<std::string> changes = {"train.max_steps=2",          "train.seeds=[0,1,2]",
                                                   "train.batch_size=4",         "train.max_length=32",
                                                   "task.max_train_examples=24", "task.max_validation_examples=12"};
  return changes;
}

}  // namespace

Recipe with_found_data(Recipe recipe, const std::string& where) {
  for (const char* key : kPlaces) {
    const auto found = recipe.task.find(key);
    if (found == recipe.task.end() || !found->is_string()) continue;
    const std::string path = found->get<std::string>();
    if (fs::exists(path)) continue;
    const char* root = std::getenv("LORAXS_DATA");
    const fs::path elsewhere = root != nullptr && path.starts_with(kData)
                                   ? fs::path(root) / path.substr(std::string(kData).size())
                                   : fs::path();
    if (elsewhere.empty() || !fs::exists(elsewhere)) {
      throw Error(concat(where, ": task.", key, ": expected ", path, ", found nothing there",
                         root == nullptr ? "; LORAXS_DATA may name the folder that stands for data"
                                         : concat(" and none in LORAXS_DATA, ", root)));
    }
    *found = elsewhere.string();
  }
  return recipe;
}

Recipe study_recipe(const Study& study, const StudyRequest& request, const fs::path& path,
                    const std::vector<std::string>& changes) {
  std::vector<std::string> all = {"train.selection=split"};
  if (request.quick) all.insert(all.end(), quick_changes().begin(), quick_changes().end());
  all.insert(all.end(), changes.begin(), changes.end());
  Recipe recipe = read_recipe(path, all);
  const std::string task = recipe.task.is_object() ? recipe.task.value("name", "") : "";
  if (task.empty()) throw Error(concat(path.string(), ": task.name: expected a task, found none"));
  if (study.tasks != StudyTasks::kEither && is_language_task(task) != (study.tasks == StudyTasks::kLanguage)) {
    throw Error(concat(path.string(), ": task.name: study ", study.name, " asks ",
                       study.tasks == StudyTasks::kLanguage ? "a language model's loss on held-out answers"
                                                            : "an encoder's score on labelled texts",
                       ", expected a task for that, found ", task));
  }
  return recipe;
}

std::string recipe_digest(const Recipe& recipe) {
  const nlohmann::json content = {{"model", recipe.model}, {"recipe", recipe_content(recipe)}};
  const std::string text = json_text(content);
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size()))).substr(0, 16);
}

std::string fleet_digest(const StudyFleet& fleet) {
  Recipe recipe = fleet.recipe;
  recipe.fleet["jobs"] = sha256_hex(fleet.jobs);
  recipe.fleet["store"] = fleet.others;
  return recipe_digest(recipe);
}

StudyRuns::StudyRuns(const Study& study, const StudyRequest& request, size_t parts)
    : study_(study), request_(request), progress_{.parts = parts} {}

fs::path StudyRuns::folder_of(const Recipe& recipe) const { return request_.folder / recipe_digest(recipe); }

bool StudyRuns::finished(const Recipe& recipe) const { return fs::exists(folder_of(recipe) / "result.json"); }

void StudyRuns::check_stop() const {
  if (request_.stop_requested && request_.stop_requested()) throw Interrupted(0);
}

void StudyRuns::begin_part(const std::string& name) {
  check_stop();
  progress_.part = std::min(progress_.part + 1, progress_.parts);
  progress_.name = name;
  progress_.step = progress_.steps = 0;
  progress_.seconds_left = 0;
  if (request_.on_progress) request_.on_progress(progress_);
}

nlohmann::json StudyRuns::result(const Recipe& wanted, const std::string& name) {
  begin_part(name);
  const fs::path folder = folder_of(wanted), file = folder / "result.json";
  if (!fs::exists(file)) {
    Recipe recipe = with_found_data(wanted, concat("study ", study_.name));
    recipe.output = folder.string();
    const Task task = recipe_task(recipe, concat("study ", study_.name));
    forget_peak_memory();
    TrainingRun run(recipe, task, request_.settings, concat("study ", study_.name));
    const TrainObserver observer{.on_step =
                                     [&](const StepReport& report) {
                                       progress_.step = report.step, progress_.steps = report.total_steps;
                                       progress_.seconds_left = report.seconds_left;
                                       if (request_.on_progress) request_.on_progress(progress_);
                                     },
                                 .stop_requested = request_.stop_requested};
    run.run(observer, {.resume = fs::exists(folder)});
  }
  return read_result(file);
}

nlohmann::json StudyRuns::read_result(const fs::path& file) const {
  const auto text = MappedFile::open(file);
  return parse_json(text->text(), file.string());
}

fs::path StudyRuns::beside(const std::string& digest, const char* name) const {
  return request_.folder / (digest + name);
}

fs::path StudyRuns::adapters_of(const StudyFleet& fleet) const { return beside(fleet_digest(fleet), "-adapters"); }

bool StudyRuns::finished(const StudyFleet& fleet) const {
  return fs::exists(request_.folder / fleet_digest(fleet) / "result.json");
}

nlohmann::json StudyRuns::result(const StudyFleet& fleet, const std::string& name) {
  begin_part(name);
  const fs::path output = request_.folder / fleet_digest(fleet);
  if (!finished(fleet)) train(fleet, output);
  return read_result(output / "result.json");
}

void StudyRuns::train(const StudyFleet& fleet, const fs::path& output) {
  const std::string digest = fleet_digest(fleet);
  const fs::path jobs = beside(digest, "-users.jsonl"), store = adapters_of(fleet);
  fs::create_directories(store);
  write_file_atomically(jobs, fleet.jobs, Existing::kReplaced);
  if (!fleet.others.empty()) {
    fs::copy(beside(fleet.others, "-adapters"), store,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
  Recipe recipe = fleet.recipe;
  recipe.fleet["jobs"] = jobs.string();
  recipe.fleet["store"] = store.string();
  recipe.fleet["on_error"] = "stop";
  recipe.output = output.string();
  FleetRun run(recipe, request_.settings, concat("study ", study_.name));
  const auto begin = std::chrono::steady_clock::now();
  int64_t before = 0;  // jobs that were done when this began
  const FleetObserver observer{.on_round = [&](const FleetCounts& counts) {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const auto done = static_cast<double>(counts.done - before), left = static_cast<double>(counts.jobs - counts.done);
    progress_.step = counts.done, progress_.steps = counts.jobs;
    progress_.seconds_left = done > 0 ? seconds / done * left : 0;
    if (request_.on_progress) request_.on_progress(progress_);
  }};
  run.begin(observer, {.resume = fs::exists(output)});
  before = run.counts().done;
  while (run.step()) {
    if (!request_.stop_requested || !request_.stop_requested()) continue;
    run.save();
    throw Interrupted(0);
  }
  run.finish();
}

}  // namespace loraxs
