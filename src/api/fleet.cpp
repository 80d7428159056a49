#include "api/fleet.h"

#include "api/adapter_folder.h"
#include "api/adapter_store.h"
#include "api/opened_adapter.h"
#include "eval/metrics.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "ops/device.h"
#include "ops/frozen_gemm.h"
#include "train/fleet_summary.h"
#include "train/recipe_layout.h"
#include "train/report.h"

namespace loraxs {
namespace {

/// The task of the recipe without anybody's examples: its kind and metric.
Task empty_task(const Recipe& recipe, const std::string& where) {
  Fields fields(recipe.task, where, "task");
  const std::string name = known_task(fields.text("name", ""));
  Task task{.name = name.empty() ? fields.choice("name", "", task_names()) : name};
  if (!fields.has("name")) {
    fields.fail(
        "name",
        "expected what all users' data are (classification, regression, chat, instructions, …), found none; say "
        "task: {name: classification}");
  }
  if (is_language_task(name)) {
    task.kind = TaskKind::kLanguageModel;
    task.metric = "loss";
    return task;
  }
  if (name != "classification" && name != "regression") {
    fields.fail("name",
                concat("expected classification, regression or a task of language models for a fleet, found ", name));
  }
  task.kind = name == "regression" ? TaskKind::kRegression : TaskKind::kClassification;
  task.metric = fields.text("metric", task.regression() ? "pearson" : "accuracy");
  if (!task.regression()) task.labels = {"0", "1"};
  check_metric(task.metric, task.regression(), where);
  return task;
}

std::unique_ptr<FleetStore> open_fleet_store(const std::string& store, const BaseModel& model,
                                             std::shared_ptr<const Basis> basis) {
  if (is_store_url(store)) return std::make_unique<AdapterStore>(store, model, std::move(basis));
  return std::make_unique<AdapterFolder>(store, model, std::move(basis));
}

/// What decides how the base is opened and prepared.
nlohmann::json base_content(const Recipe& recipe) {
  const nlohmann::json all = recipe.to_json();
  nlohmann::json content;
  for (const char* key : {"model", "accept_config", "pre_tokenizer", "method", "head", "task", "device"}) {
    if (all.contains(key)) content[key] = all[key];
  }
  for (const char* key : {"precision", "memory", "dropout", "max_length"}) content[key] = all["train"][key];
  return content;
}

std::shared_ptr<FleetBase> base_of(std::shared_ptr<FleetBase> given, const Recipe& recipe, const Settings& settings,
                                   const std::string& where) {
  const nlohmann::json content = base_content(recipe);
  if (given == nullptr) {
    auto base = std::make_shared<FleetBase>();
    base->content = content;
    base->model = open_for_training(recipe, settings, where);
    base->tokenizer = tokenizer_of(base->model);
    return base;
  }
  for (const auto& [key, value] : given->content.items()) {
    if (content.at(key) == value) continue;
    throw Error(concat(where, ": ", key, ": expected that of the fleet whose base this one takes, ", json_text(value),
                       ", found ", json_text(content.at(key))));
  }
  return given;
}

}  // namespace

FleetRun::FleetRun(Recipe recipe, Settings settings, const std::string& where, std::shared_ptr<FleetBase> base)
    : recipe_(std::move(recipe)),
      settings_(std::move(settings)),
      where_(where),
      fleet_recipe_(parse_fleet(recipe_, where)),
      base_(base_of(std::move(base), recipe_, settings_, where)),
      setup_{.recipe = recipe_,
             .model = base_->model,
             .basis = nullptr,
             .dtype = resolve_precision(recipe_.train.precision),
             .device = find_device(recipe_.device, concat(where, ": device"))} {
  const BaseModel& model = base_->model;
  const Task task = empty_task(recipe_, where);
  if (recipe_.method.budget > 0) recipe_.method = resolve_budget(recipe_.method, model, where);
  const HeadLayout head = task_head(recipe_.head, task, *model.architecture, where);
  recipe_.head = head.kind;
  setup_.task_name = task.name;
  setup_.metric = task.metric;
  setup_.kind = task.kind;
  setup_.layout = recipe_layout(recipe_.method, head, model, where);
  if (head.kind != "none") setup_.labels = task.labels;
  setup_.provenance = {.task = task.name,
                       .tokenizer_digest = base_->tokenizer->digest(),
                       .max_length = recipe_.train.max_length,
                       .precision = torch::toString(setup_.dtype),
                       .gemm_record = gemm_record()};
  encoder_ = std::make_unique<TaskEncoder>(*base_->tokenizer, recipe_.model);
  jobs_ = std::make_unique<FleetJobs>(recipe_, fleet_recipe_, *encoder_, model, where);
  if (!base_->basis) {
    BasisRecipe basis = method_basis(recipe_.method);
    basis.rank = setup_.layout.largest_rank();
    base_->basis = starts_from_basis(recipe_.method) ? basis_for(model, setup_.layout.sites, basis, {}, settings_)
                                                     : std::make_shared<Basis>();
  }
  setup_.basis = base_->basis;
}

void FleetRun::begin(const FleetObserver& observer, const RunOptions& options) {
  check_run_output(recipe_.output, options.resume);
  store_ = open_fleet_store(fleet_recipe_.store, base_->model, setup_.basis);
  starts_ = std::make_unique<FleetStarts>(*store_, base_->model, *setup_.basis, recipe_.method.alpha,
                                          [this](const std::string& title) { return jobs_->contains(title); });
  jobs_->start_from(*starts_);
  jobs_->know_again(setup_.basis->basis_id, fleet_recipe_.keep_finished ? store_.get() : nullptr);
  folder_ = std::make_unique<RunFolder>(recipe_.output, recipe_template(recipe_), options.resume);
  if (!base_->prepared) base_->prepared = prepare_fleet_base(setup_);
  fleet_ = std::make_unique<Fleet>(setup_, fleet_recipe_, base_->prepared, *jobs_, *store_, *folder_,
                                   options.allow_drift, observer);
}

Fleet& FleetRun::fleet() {
  if (!fleet_) throw Error("fleet: expected begin() before its first step");
  return *fleet_;
}

bool FleetRun::step() { return fleet().step(); }
void FleetRun::save() { fleet().save(); }
FleetCounts FleetRun::counts() const { return fleet_ ? fleet_->counts() : FleetCounts{.jobs = jobs_->size()}; }

nlohmann::json FleetRun::finish() {
  nlohmann::json summary = summarize_fleet(fleet().counts(), folder_->path() / "jobs.jsonl", score_key(setup_.metric));
  summary["store"] = fleet_recipe_.store;
  write_file_atomically(folder_->path() / "result.json", summary.dump(1) + "\n", Existing::kReplaced);
  write_fleet_report(folder_->path(), summary);
  return summary;
}

}  // namespace loraxs
