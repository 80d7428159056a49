#include "api/training.h"

#include "adapt/fresh_head.h"
#include "adapt/merge.h"
#include "adapt/method.h"
#include "api/opened_adapter.h"
#include "api/task_encoder.h"
#include "eval/metrics.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/gguf.h"
#include "io/peak_memory.h"
#include "io/sha256.h"
#include "ops/device.h"
#include "ops/frozen_gemm.h"
#include "train/gradient_start.h"
#include "train/input_basis.h"
#include "train/job.h"
#include "train/memory_estimate.h"
#include "train/recipe_changes.h"
#include "train/recipe_layout.h"
#include "train/run_examples.h"
#include "train/summary.h"

namespace loraxs {
namespace {

void check_task(const Task& task, const Recipe& recipe, const std::string& where) {
  make_jobs(recipe.train, task.name);  // throws where two would share a name
  if (task.train.empty()) throw Error(concat(where, ": task.train: expected training examples, found none"));
  if (task.language_model()) return;  // its metric is the held-out loss
  check_metric(task.metric, task.regression(), where);
}

}  // namespace

BaseModel open_for_training(const Recipe& recipe, Settings settings, const std::string& where) {
  settings.reading = recipe.reading();
  BaseModel model = open_model(recipe.model, settings);
  if (recipe.train.max_length > model.config.max_length()) {
    throw Error(concat(where, ": train.max_length: expected at most ", model.config.max_length(),
                       " (the model's positions), found ", recipe.train.max_length));
  }
  if (!recipe.train.dropout) model.config.disable_dropout();
  return model;
}

Task recipe_task(const Recipe& recipe, const std::string& where) {
  Fields fields(recipe.task, where, "task");
  return load_task(fields, std::filesystem::current_path());
}

TrainingRun::TrainingRun(Recipe recipe, const Task& task, Settings settings, const std::string& where)
    : recipe_(std::move(recipe)),
      settings_(std::move(settings)),
      where_(where),
      model_((check_task(task, recipe_, where), open_for_training(recipe_, settings_, where))),
      setup_{.recipe = recipe_,
             .model = model_,
             .basis = nullptr,
             .task_name = task.name,
             .metric = task.metric,
             .kind = task.kind,
             .dtype = resolve_precision(recipe_.train.precision),
             .device = find_device(recipe_.device, concat(where, ": device"))} {
  if (recipe_.method.budget > 0) {
    const int64_t budget = recipe_.method.budget;
    recipe_.method = resolve_budget(recipe_.method, model_, where);
    if (settings_.log) {
      settings_.log(LogLevel::kInfo, concat("budget=", budget, " rank=", recipe_.method.rank,
                                            " targets=", nlohmann::json(recipe_.method.targets).dump()));
    }
  }
  if (recipe_.task.is_null()) recipe_.task = {{"name", task.name}, {"labels", task.labels}};
  tokenizer_ = tokenizer_of(model_);
  const TaskEncoder encoder(*tokenizer_, recipe_.model);
  samples_.emplace(recipe_.train.samples, task, encoder, *tokenizer_, recipe_.train.sample_tokens,
                   model_.config.max_length(), where);
  if (!samples_->empty()) {
    setup_.answer_samples = [this](AdaptedModel& model, const std::vector<int64_t>& slots) {
      return samples_->answer(model, slots);
    };
  }
  train_ = std::make_shared<const EncodedExamples>(encoder.encode(task, task.train, recipe_.train.max_length));
  setup_.train = ExampleView(train_);
  setup_.validation = encoder.encode(task, task.validation, recipe_.train.max_length);
  if (train_->size() == 0) {
    throw Error(concat(where, ": train.max_length: expected room for an answer, found none in ", train_->num_dropped,
                       " examples"));
  }
  const HeadLayout head = task_head(recipe_.head, task, *model_.architecture, where);
  recipe_.head = head.kind;
  setup_.layout = recipe_layout(recipe_.method, head, model_, where);
  if (head.kind != "none") setup_.labels = task.labels;
  setup_.activation_limit = activation_limit();
  setup_.provenance = {.task = task.name,
                       .tokenizer_digest = tokenizer_->digest(),
                       .max_length = recipe_.train.max_length,
                       .precision = torch::toString(setup_.dtype),
                       .gemm_record = gemm_record()};
}

int64_t TrainingRun::activation_limit() const {
  if (recipe_.train.memory_gb == 0) return -1;
  int64_t longest = 0;
  for (const int64_t length : setup_.train.lengths()) longest = std::max(longest, length);
  const auto jobs = static_cast<int64_t>(make_jobs(recipe_.train, setup_.task_name).size());
  StepShape step = step_shape(recipe_.train, jobs, train_->size(), setup_.train.num_tokens(), setup_.dtype);
  step.tokens = std::max(step.tokens, longest);
  const int64_t limit = estimate_memory(model_, setup_.layout, step, where_).activation_limit;
  if (settings_.log) {
    settings_.log(LogLevel::kInfo, concat("memory_gb=", recipe_.train.memory_gb, " activation_bytes=", limit));
  }
  return limit;
}

const Basis& TrainingRun::basis() {
  if (!setup_.basis) {
    if (starts_from_gradient(recipe_)) {
      start_from_gradient();
      return *setup_.basis;
    }
    if (starts_from_inputs(recipe_)) {
      start_from_inputs();
      return *setup_.basis;
    }
    BasisRecipe basis = method_basis(recipe_.method);
    const std::string& from = recipe_.train.init_adapter;
    basis.rank = setup_.layout.largest_rank();
    const std::filesystem::path brought =
        from.empty() ? std::filesystem::path() : basis_file_of(read_adapter(from), {}, {});
    setup_.basis = starts_from_basis(recipe_.method) ? basis_for(model_, setup_.layout.sites, basis, brought, settings_)
                                                     : std::make_shared<Basis>();
    setup_.start = read_start_row(recipe_, setup_.layout, setup_.labels, model_, *setup_.basis, where_);
  }
  return *setup_.basis;
}

std::filesystem::path TrainingRun::gradient_start_path() const {
  return std::filesystem::path(recipe_.output) / "start.safetensors";
}

void TrainingRun::start_from_gradient() {
  const ExampleView examples = choose_examples(recipe_.train, setup_.train, setup_.validation).train;
  const int64_t warmup_steps = std::max<int64_t>(1, plan_steps(recipe_.train, examples.size()).warmup_steps);
  const std::filesystem::path path = gradient_start_path();
  if (std::filesystem::exists(path)) {  // the run is resumed
    Recipe recipe = recipe_;
    recipe.train.init_adapter = path.string();
    recipe.train.init_head = "fresh";
    setup_.basis = std::make_shared<Basis>(read_basis(basis_file_of(read_adapter(path), {}, {})));
    setup_.start = read_start_row(recipe, setup_.layout, setup_.labels, model_, *setup_.basis, where_);
    if (setup_.start) setup_.start->warmup_steps = warmup_steps;
  } else {
    const HeadLayout& head = setup_.layout.head;
    if (head.kind != "none" && recipe_.train.seeds.size() > 1) {
      throw Error(concat(where_, ": train.seeds: expected one seed for ", recipe_.method.name,
                         ", whose gradient goes through that seed's head, found ", recipe_.train.seeds.size(),
                         "; train the others in runs of their own"));
    }
    const ExampleView chosen = gradient_examples(examples, recipe_.method.gradient_examples);
    const Bank fresh = fresh_head(model_, head, make_jobs(recipe_.train, setup_.task_name).front().key);
    const TaskGradient gradient = task_gradient(model_, fresh, chosen);
    GradientStart start = gradient_start(gradient, setup_.layout, recipe_.method.alpha, model_.base_id);
    start.basis.basis_id = basis_digest(start.basis);
    setup_.basis = std::make_shared<Basis>(std::move(start.basis));
    setup_.start = StartRow{
        .path = path,
        .task = setup_.task_name,
        .row_digest = sha256_hex(std::as_bytes(std::span(start.row.const_data_ptr<float>(), start.row.numel()))),
        .numbers = start.row,
        .num_sites = static_cast<int64_t>(setup_.layout.sites.size()),
        .warmup_steps = warmup_steps};
    if (settings_.log) {
      settings_.log(LogLevel::kInfo, concat("gradient examples=", chosen.size(), " loss=", gradient.loss));
    }
  }
}

void TrainingRun::start_from_inputs() {
  if (const std::filesystem::path kept = kept_basis(recipe_.output); !kept.empty()) {  // the run is resumed
    setup_.basis = std::make_shared<Basis>(read_basis(kept));
    return;
  }
  const ExampleView chosen = input_examples(choose_examples(recipe_.train, setup_.train, setup_.validation).train);
  Basis basis = input_basis(model_, setup_.layout, method_basis(recipe_.method), chosen);
  basis.basis_id = basis_digest(basis);
  setup_.basis = std::make_shared<Basis>(std::move(basis));
  if (settings_.log) settings_.log(LogLevel::kInfo, concat("basis of inputs, examples=", chosen.size()));
}

void TrainingRun::write_start() const {
  if (!setup_.basis->recipe.travels()) return;
  Basis basis = *setup_.basis;
  keep_basis(gradient_start_path(), basis);
  if (!setup_.start || setup_.start->warmup_steps == 0) return;
  Bank bank = make_bank(make_layout(setup_.layout.method, setup_.layout.sites, setup_.layout.ranks, {},
                                    setup_.layout.hidden_size, where_, setup_.layout.options),
                        recipe_.method.alpha, 1);
  bank.values.select(0, 0).copy_(setup_.start->numbers);
  write_adapter(gradient_start_path(), bank, 0, model_, basis, setup_.provenance, Existing::kReplaced);
}

TrainResult TrainingRun::run(const TrainObserver& observer, const RunOptions& options) {
  check_run_output(recipe_.output, options.resume);
  if (options.resume) {
    const std::vector<Job> jobs = make_jobs(recipe_.train, setup_.task_name);
    refuse_changed_recipe(recipe_.output, recipe_, best_adapter(jobs.front()));
  }
  basis();
  if (train_->num_truncated > 0 && settings_.log) {
    settings_.log(LogLevel::kInfo, concat("truncated=", train_->num_truncated, " of ", train_->size(),
                                          " training examples to ", recipe_.train.max_length, " tokens"));
  }
  if (train_->num_dropped > 0 && settings_.log) {
    settings_.log(LogLevel::kInfo,
                  concat("dropped=", train_->num_dropped, " training examples whose answer starts after ",
                         recipe_.train.max_length, " tokens"));
  }
  RunFolder folder(recipe_.output, recipe_template(recipe_), options.resume);
  write_start();
  TrainResult result = train(setup_, folder, options.allow_drift, observer);
  result.peak_memory_bytes = peak_memory_bytes();
  if (find_method(setup_.layout.method, where_).traits.owns_weight) write_merged(result);
  write_file_atomically(folder.path() / "result.json", summarize_run(setup_, result).dump(1) + "\n",
                        Existing::kReplaced);
  return result;
}

void TrainingRun::write_merged(const TrainResult& result) const {
  if (is_gguf_path(model_.folder)) return;  // there is no config and tokenizer to take over
  for (const JobResult& job : result.jobs) {
    if (!job.has_adapter) continue;
    const std::filesystem::path folder = best_adapter(job.job).parent_path() / "merged";
    const AdapterFile file = read_adapter(best_adapter(job.job));
    const Bank bank = open_adapter(file, setup_.layout, *setup_.basis);
    write_model_folder(folder, merge_model(model_, *setup_.basis, bank, 0), &bank, 0, {}, Existing::kReplaced);
  }
}

std::filesystem::path TrainingRun::best_adapter(const Job& job) const {
  return std::filesystem::path(recipe_.output) / job.name / "best.safetensors";
}

}  // namespace loraxs
