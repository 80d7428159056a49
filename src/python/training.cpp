#include "api/training.h"

#include <ATen/Parallel.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <exception>

#include "io/error.h"
#include "io/json.h"
#include "python/bindings.h"

namespace nb = nanobind;

namespace loraxs {
namespace {

/// first, second, target: a row of a task made in memory.
using Row = std::tuple<std::string, std::optional<std::string>, double>;

std::vector<Example> examples_of(const std::vector<Row>& rows) {
  std::vector<Example> examples;
  examples.reserve(rows.size());
  for (const auto& [first, second, target] : rows)
    examples.push_back({.first = first, .second = second, .target = target});
  return examples;
}

/// Carries events to a Python callable and Ctrl-C to the loop; what Python raises stops the run after its state is
/// saved.
class PythonObserver {
 public:
  PythonObserver(nb::object progress, std::string metric)
      : progress_(std::move(progress)), metric_(std::move(metric)) {}

  TrainObserver observer() {
    TrainObserver result{.stop_requested = [this] { return stop_requested(); }};
    if (progress_.is_none()) return result;
    result.on_step = [this](const StepReport& step) {
      nb::gil_scoped_acquire acquire;
      nb::dict event;
      event["event"] = "step";
      event["step"] = step.step;
      event["total_steps"] = step.total_steps;
      event["epoch"] = step.epoch;
      event["loss"] = step.loss;
      event["sentences_per_second"] = step.sentences_per_second;
      event["seconds_left"] = step.seconds_left;
      call(event);
    };
    result.on_epoch = [this](const EpochReport& epoch) {
      nb::gil_scoped_acquire acquire;
      nb::dict event;
      event["event"] = "epoch";
      event["epoch"] = epoch.epoch;
      event["job"] = epoch.job;
      event["loss"] = epoch.train_loss;
      event["best"] = epoch.best;
      if (!metric_.empty()) event[metric_.c_str()] = epoch.value;
      call(event);
    };
    result.on_end = [this](const std::string& job, const JobEnd& end) {
      nb::gil_scoped_acquire acquire;
      nb::dict event;
      event["event"] = "ended";
      event["step"] = end.step;
      event["job"] = job;
      event["reason"] = end.reason;
      call(event);
    };
    return result;
  }

  /// Raises what stopped the run.
  void rethrow() const {
    if (raised_) std::rethrow_exception(raised_);
  }

 private:
  void call(const nb::dict& event) {
    if (raised_) return;
    try {
      progress_(event);
    } catch (...) {
      raised_ = std::current_exception();
    }
  }

  bool stop_requested() {
    nb::gil_scoped_acquire acquire;
    if (!raised_ && PyErr_CheckSignals() != 0) raised_ = std::make_exception_ptr(nb::python_error());
    return raised_ != nullptr;
  }

  nb::object progress_;
  std::string metric_;
  std::exception_ptr raised_;
};

nb::object optional_number(bool known, double value) { return known ? nb::cast(value) : nb::none(); }

nb::dict describe(const TrainingRun& run, const TrainResult& result, bool scored) {
  nb::list jobs;
  for (const JobResult& job : result.jobs) {
    nb::dict one;
    one["name"] = job.job.name;
    one["seed"] = job.job.seed;
    one["learning_rate"] = job.job.learning_rate;
    one["head_learning_rate"] = job.job.head_learning_rate;
    const bool chosen = scored && job.best.epoch > 0;
    one["value"] = optional_number(chosen, job.best.value);
    one["best_epoch"] = chosen ? nb::cast(job.best.epoch) : nb::none();
    one["last_loss"] = job.last_loss;
    one["adapter"] = job.has_adapter ? nb::cast(run.best_adapter(job.job)) : nb::none();
    one["ended"] = job.ended ? nb::cast(concat("step ", job.ended->step, ": ", job.ended->reason)) : nb::none();
    jobs.append(one);
  }
  nb::dict done;
  done["metric"] = run.setup().metric;
  done["jobs"] = jobs;
  done["steps"] = result.steps;
  done["trained_parameters"] = result.layout.adapter_numbers;
  done["head_parameters"] = result.layout.row_size - result.layout.adapter_numbers;
  done["adapter_bytes"] = result.adapter_bytes;
  done["train_seconds"] = result.train_seconds;
  return done;
}

nb::dict run_training(const Recipe& recipe, const Task& task, const std::string& where, const nb::object& progress,
                      const RunOptions& options, const std::filesystem::path& cache) {
  check_run_output(recipe.output, options.resume);
  if (recipe.threads > 0) at::set_num_threads(static_cast<int>(recipe.threads));
  const Settings settings = python_settings(cache, nb::none());
  const bool scored = !task.validation.empty();
  PythonObserver watcher(progress, scored ? task.metric : "");
  std::optional<TrainResult> result;
  std::unique_ptr<TrainingRun> run;
  {
    nb::gil_scoped_release release;
    try {
      run = std::make_unique<TrainingRun>(recipe, task, settings, where);
      result = run->run(watcher.observer(), options);
    } catch (const Interrupted&) {
      result.reset();  // the state is saved; the reason is raised below
    }
  }
  watcher.rethrow();
  return describe(*run, *result, result->selected);
}

}  // namespace

void bind_training(nb::module_& m) {
  using namespace nb::literals;
  nb::class_<Recipe>(m, "_Recipe")
      .def_static("read", &read_recipe, nb::arg("path"), nb::arg("set"))
      .def_static(
          "parse",
          [](const std::string& json, const std::string& where) {
            return parse_recipe(parse_json(json, where), where);
          },
          nb::arg("json"), nb::arg("where"));
  m.def(
      "_train",
      [](const Recipe& recipe, const std::string& where, const nb::object& progress, bool resume, bool allow_drift,
         const std::filesystem::path& cache) {
        return run_training(recipe, recipe_task(recipe, where), where, progress, {resume, allow_drift}, cache);
      },
      "recipe"_a, "where"_a, "progress"_a.none(), "resume"_a, "allow_drift"_a, "cache"_a);
  m.def(
      "_train_rows",
      [](const Recipe& recipe, const std::string& where, const nb::object& progress, bool resume, bool allow_drift,
         const std::filesystem::path& cache, const std::vector<std::string>& labels, const std::string& metric,
         const std::vector<Row>& train, const std::vector<Row>& validation) {
        const Task task{.name = labels.empty() ? "regression" : "classification",
                        .kind = labels.empty() ? TaskKind::kRegression : TaskKind::kClassification,
                        .labels = labels,
                        .metric = metric,
                        .train = examples_of(train),
                        .validation = examples_of(validation)};
        return run_training(recipe, task, where, progress, {resume, allow_drift}, cache);
      },
      "recipe"_a, "where"_a, "progress"_a.none(), "resume"_a, "allow_drift"_a, "cache"_a, "labels"_a, "metric"_a,
      "train"_a, "validation"_a);
}

}  // namespace loraxs
