#include <ATen/Parallel.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>

#include "adapt/counts.h"
#include "api/training.h"
#include "commands/commands.h"
#include "commands/session.h"
#include "eval/metrics.h"
#include "io/error.h"
#include "ops/frozen_gemm.h"
#include "train/loop.h"
#include "train/report.h"

namespace loraxs {
namespace {

volatile std::sig_atomic_t interrupted = 0;  // the one thing a signal handler may touch

void on_interrupt(int) { interrupted = 1; }

std::string clock_text(double seconds) {
  char text[32];
  const auto whole = static_cast<long>(seconds);
  std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
  return text;
}

/// A bar on a terminal, a line every few seconds elsewhere.
class ProgressPrinter {
 public:
  explicit ProgressPrinter(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}

  void step(const StepReport& report) {
    if (quiet_) return;
    const auto now = std::chrono::steady_clock::now();
    const double interval = terminal_ ? 0.2 : 5.0;
    if (std::chrono::duration<double>(now - shown_).count() < interval && report.step != report.total_steps) return;
    shown_ = now;
    char line[200];
    if (terminal_) {
      constexpr int kWidth = 24;
      const int filled = static_cast<int>(kWidth * report.step / report.total_steps);
      const std::string bar = std::string(filled, '#') + std::string(kWidth - filled, '.');
      std::snprintf(line, sizeof line, "\r[%s] step %ld/%ld  epoch %ld/%ld  loss %.4f  %.0f sentences/s  ETA %s \x1b[K",
                    bar.c_str(), report.step, report.total_steps, report.epoch, report.epochs, report.loss,
                    report.sentences_per_second, clock_text(report.seconds_left).c_str());
      std::cerr << line << std::flush;
      open_ = true;
    } else {
      std::snprintf(line, sizeof line, "step=%ld/%ld epoch=%ld/%ld loss=%.4f sentences_per_second=%.0f eta=%s",
                    report.step, report.total_steps, report.epoch, report.epochs, report.loss,
                    report.sentences_per_second, clock_text(report.seconds_left).c_str());
      std::cerr << line << '\n';
    }
  }

  void epoch(const EpochReport& report, const std::string& metric) {
    if (quiet_) return;
    if (open_) std::cerr << '\n';
    open_ = false;
    std::cerr << "epoch=" << report.epoch << " job=" << report.job << " loss=" << report.train_loss;
    if (!metric.empty()) std::cerr << ' ' << metric << '=' << report.value << (report.best ? " best" : "");
    std::cerr << '\n';
  }

 private:
  bool quiet_, terminal_, open_ = false;
  std::chrono::steady_clock::time_point shown_{};
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// The last line of `train --json`: the best setting's median over seeds, and all settings.
nlohmann::json done_event(const TrainResult& result, const std::string& metric, bool scored) {
  const auto num_settings = result.jobs.empty() ? 0 : result.jobs.back().job.setting + 1;
  nlohmann::json settings = nlohmann::json::array();
  int64_t best_setting = 0;
  double best_value = 0;
  for (int64_t setting = 0; setting < num_settings; ++setting) {
    std::vector<double> values;
    const Job* first = nullptr;
    for (const JobResult& job : result.jobs) {
      if (job.job.setting != setting) continue;
      if (first == nullptr) first = &job.job;
      values.push_back(job.best.value);
    }
    const double value = median(values);
    if (setting == 0 || is_better(metric, value, best_value)) {
      best_setting = setting;
      best_value = value;
    }
    settings.push_back({{"learning_rate", first->learning_rate},
                        {"head_learning_rate", first->head_learning_rate},
                        {"value", scored ? nlohmann::json(value) : nlohmann::json()}});
  }
  nlohmann::json seeds = nlohmann::json::array();
  nlohmann::json best_epoch;
  for (const JobResult& job : result.jobs) {
    if (job.job.setting != best_setting) continue;
    if (best_epoch.is_null()) best_epoch = job.best.epoch;
    seeds.push_back({{"seed", job.job.seed},
                     {"value", scored ? nlohmann::json(job.best.value) : nlohmann::json()},
                     {"best_epoch", job.best.epoch}});
  }
  const double seconds = std::max(result.train_seconds, 1e-9);
  return {{"event", "done"},
          {"metric", metric},
          {"value", scored ? nlohmann::json(best_value) : nlohmann::json()},
          {"best_epoch", scored ? best_epoch : nlohmann::json()},
          {"trained_parameters", result.layout.adapter_numbers},
          {"head_parameters", result.layout.row_size - result.layout.adapter_numbers},
          {"adapter_bytes", result.adapter_bytes},
          {"sentences_per_second", static_cast<double>(result.sentences) / seconds},
          {"tokens_per_second", static_cast<double>(result.tokens) / seconds},
          {"steps", result.steps},
          {"peak_memory_bytes", peak_memory_bytes()},
          {"settings", settings},
          {"seeds", seeds}};
}

void print_dry_run(const TrainSetup& setup, const std::vector<Job>& jobs, const CommonOptions& common) {
  const auto bank = make_job_bank(setup, jobs);
  const StepPlan plan = plan_steps(setup.recipe.train, setup.train.size());
  const Layout& layout = bank->layout;
  int64_t basis_numbers = 0;
  for (size_t i = 0; i < layout.sites.size(); ++i) {
    basis_numbers += layout.ranks[i] * (layout.sites[i].in_features + layout.sites[i].out_features);
  }
  const nlohmann::json json = {{"event", "dry_run"},
                               {"jobs", jobs.size()},
                               {"sites", layout.sites.size()},
                               {"trained_parameters", layout.adapter_numbers},
                               {"head_parameters", layout.row_size - layout.adapter_numbers},
                               {"adapter_bytes_at_most", layout.row_size * 4 + 2048},
                               {"basis_bytes", basis_numbers * 4},
                               {"train_examples", setup.train.size()},
                               {"validation_examples", setup.validation.size()},
                               {"truncated_examples", setup.train.num_truncated},
                               {"tokens_per_epoch", setup.train.num_tokens()},
                               {"steps_per_epoch", plan.steps_per_epoch},
                               {"total_steps", plan.total_steps},
                               {"warmup_steps", plan.warmup_steps},
                               {"precision", torch::toString(setup.dtype)}};
  if (common.json) {
    std::cout << json.dump() << '\n';
    return;
  }
  for (const auto& [key, value] : json.items()) {
    if (key != "event")
      std::cout << key << ": " << (value.is_string() ? value.get<std::string>() : value.dump()) << '\n';
  }
}

}  // namespace

int run_train(const TrainOptions& options, const CommonOptions& common) {
  const Recipe recipe = read_recipe(options.recipe, options.set);
  if (recipe.threads > 0 && common.threads == 0) at::set_num_threads(static_cast<int>(recipe.threads));
  if (!options.resume && !options.dry_run) refuse_existing_run(recipe.output);
  if (!options.beside.empty() && !std::filesystem::exists(std::filesystem::path(options.beside) / "metrics.jsonl")) {
    throw Error(concat("--beside ", options.beside, ": expected the folder of a run, found none"));
  }
  const Task task = recipe_task(recipe, options.recipe);
  TrainingRun run(recipe, task, settings_of(common), options.recipe);
  const TrainSetup& setup = run.setup();
  if (options.dry_run) {
    print_dry_run(setup, make_jobs(recipe.train, task.name), common);
    return 0;
  }
  const std::string basis_id = run.basis().basis_id;  // until here Ctrl-C ends the program: there is nothing to save
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  const bool scored = setup.validation.size() > 0;
  ProgressPrinter progress(common.quiet);
  const TrainObserver observer{
      .on_step = [&](const StepReport& report) { progress.step(report); },
      .on_epoch = [&](const EpochReport& report) { progress.epoch(report, scored ? task.metric : ""); },
      .stop_requested = [] { return interrupted != 0; }};
  try {
    const TrainResult result = run.run(observer, {.resume = options.resume, .allow_drift = options.allow_drift});
    const nlohmann::json done = done_event(result, task.metric, scored);
    const int64_t lora = count_lora(setup.layout.sites, recipe.method.rank);
    write_run_report(recipe.output, done, options.beside,
                     {{"LoRA of the same rank and modules", concat(lora, " parameters, ", human_bytes(lora * 4))},
                      {"base model", concat(recipe.model, ", base_id ", setup.model.base_id.substr(0, 16))},
                      {"basis", basis_id.substr(0, 16)},
                      {"precision and GEMM table", concat(torch::toString(setup.dtype), ", ", gemm_record())},
                      {"versions", concat("loraxs 0.1.0, torch ", TORCH_VERSION)}});
    if (common.json) {
      std::cout << done.dump() << '\n';
    } else {
      std::cout << task.metric << ": " << done["value"].dump() << " (median of " << done["seeds"].size() << " seed"
                << (done["seeds"].size() == 1 ? "" : "s")
                << ", best epoch)\ntrained parameters: " << result.layout.adapter_numbers << " in adapters, "
                << result.layout.row_size - result.layout.adapter_numbers
                << " in the head\nadapter file: " << human_bytes(result.adapter_bytes)
                << "\nspeed: " << static_cast<int64_t>(done["sentences_per_second"].get<double>())
                << " sentences/s\nrun: " << recipe.output << " (report.html, " << result.jobs.front().job.name
                << "/best.safetensors)\n";
    }
    return 0;
  } catch (const Interrupted& stop) {
    std::cerr << "\nloraxs: interrupted at step " << stop.step << "; state saved in " << recipe.output
              << "; continue with: loraxs train " << options.recipe << " --resume\n";
    return 130;
  }
}

}  // namespace loraxs
