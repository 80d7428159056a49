#include "cli/subcommands/train.h"

#include <torch/version.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "adapt/counts.h"
#include "adapt/method.h"
#include "api/training.h"
#include "commands/dry_run.h"
#include "commands/interrupt.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "commands/shell_line.h"
#include "commands/train_fleet.h"
#include "eval/metrics.h"
#include "io/error.h"
#include "ops/frozen_gemm.h"
#include "train/job.h"
#include "train/loop.h"
#include "train/report.h"
#include "train/summary.h"

namespace loraxs {
namespace {

/// A bar on a terminal, a line every few seconds elsewhere.
class ProgressPrinter {
 public:
  ProgressPrinter(bool quiet, bool counts_tokens)
      : quiet_(quiet), counts_tokens_(counts_tokens), terminal_(isatty(STDERR_FILENO) != 0) {}

  void step(const StepReport& report) {
    if (quiet_) return;
    const auto now = std::chrono::steady_clock::now();
    const double interval = terminal_ ? 0.2 : 5.0;
    if (std::chrono::duration<double>(now - shown_).count() < interval && report.step != report.total_steps) return;
    shown_ = now;
    char line[200];
    const double speed = counts_tokens_ ? report.tokens_per_second : report.sentences_per_second;
    if (terminal_) {
      constexpr int kWidth = 24;
      const int filled = static_cast<int>(kWidth * report.step / report.total_steps);
      const std::string bar = std::string(filled, '#') + std::string(kWidth - filled, '.');
      std::snprintf(line, sizeof line, "\r[%s] step %ld/%ld  epoch %ld/%ld  loss %.4f  %.0f %s/s  ETA %s \x1b[K",
                    bar.c_str(), report.step, report.total_steps, report.epoch, report.epochs, report.loss, speed,
                    unit(), clock_text(report.seconds_left).c_str());
      std::cerr << line << std::flush;
      open_ = true;
    } else {
      std::snprintf(line, sizeof line, "step=%ld/%ld epoch=%ld/%ld loss=%.4f %s_per_second=%.0f eta=%s", report.step,
                    report.total_steps, report.epoch, report.epochs, report.loss, unit(), speed,
                    clock_text(report.seconds_left).c_str());
      std::cerr << line << '\n';
    }
  }

  void epoch(const EpochReport& report, const std::string& metric) {
    if (quiet_) return;
    if (open_) std::cerr << '\n';
    open_ = false;
    std::cerr << "epoch=" << report.epoch << " job=" << report.job << " loss=" << report.train_loss;
    const std::string name = metric == "loss" ? "validation_loss" : metric;  // beside that of training
    if (!metric.empty()) std::cerr << ' ' << name << '=' << report.value << (report.best ? " best" : "");
    std::cerr << '\n';
  }

  void sample(const std::string& job, const TrainSample& sample) {
    if (quiet_) return;
    std::cerr << "sample job=" << job << " prompt=" << nlohmann::json(printable(sample.prompt)).dump()
              << " answer=" << nlohmann::json(printable(sample.text)).dump() << '\n';
  }

 private:
  const char* unit() const { return counts_tokens_ ? "tokens" : "sentences"; }

  bool quiet_, counts_tokens_, terminal_, open_ = false;
  std::chrono::steady_clock::time_point shown_{};
};

void warn_of_end(const std::string& job, const JobEnd& end) {
  std::cerr << "loraxs: warning: job " << job << " ended at step " << end.step << ": " << end.reason << '\n';
}

/// The command line that continues this run. --resume stands in front: behind "--" it would be a recipe.
std::string resume_line(const TrainOptions& options, const CommonOptions& common) {
  std::vector<std::string> words = common.words;
  if (!options.resume) words.insert(words.begin() + std::min<ptrdiff_t>(2, std::ssize(words)), "--resume");
  return shell_line(words);
}

/// Rows of the report beside what the run measured: what applies to the method.
std::vector<std::pair<std::string, std::string>> report_notes(const Recipe& recipe, const TrainSetup& setup) {
  const MethodTraits& traits = find_method(setup.layout.method, recipe.output).traits;
  std::vector<std::pair<std::string, std::string>> notes;
  if (traits.reads_basis && recipe.method.train_sites) {
    constexpr int64_t kFloat = 4;
    const int64_t lora = count_lora(setup.layout.sites, setup.layout.largest_rank());
    notes.emplace_back("LoRA of the same rank and modules", concat(lora, " numbers, ", human_bytes(lora * kFloat)));
  }
  notes.emplace_back("base model", concat(recipe.model, ", base_id ", setup.model.base_id.substr(0, 16)));
  if (traits.reads_basis) notes.emplace_back("basis", setup.basis->basis_id.substr(0, 16));
  notes.emplace_back("precision and GEMM table", concat(precision_name(setup.dtype), ", ", gemm_record()));
  notes.emplace_back("versions", concat("loraxs 0.1.0, torch ", TORCH_VERSION));
  return notes;
}

}  // namespace

int run(const TrainOptions& options, const CommonOptions& common) {
  std::vector<std::string> overrides = options.set;
  if (options.memory) overrides.push_back("train.memory=" + *options.memory);
  if (options.memory_gb) overrides.push_back("train.memory_gb=" + *options.memory_gb);
  Recipe recipe = read_recipe(options.recipe, overrides);
  recipe.accept_config.insert(recipe.accept_config.end(), common.accept_config.begin(), common.accept_config.end());
  if (!common.pre_tokenizer.empty()) recipe.pre_tokenizer = common.pre_tokenizer;
  if (options.dry_run) return dry_run(recipe, options.recipe, common);
  if (recipe.threads > 0 && common.threads == 0) use_threads(recipe.threads, "threads", common);
  check_run_output(recipe.output, options.resume);
  if (!recipe.fleet.is_null()) {
    const Interrupt interrupt({SIGINT, SIGTERM}, /*ends_waits=*/false);
    return train_fleet(
        recipe, options.recipe, {.resume = options.resume, .allow_drift = options.allow_drift}, common,
        [] { return Interrupt::pending(); }, resume_line(options, common));
  }
  if (!options.beside.empty() && !std::filesystem::exists(std::filesystem::path(options.beside) / "metrics.jsonl")) {
    throw Error(concat("--beside ", options.beside, ": expected the folder of a run, found none"));
  }
  std::optional<Progress> waiting(std::in_place, stderr_log(common));
  waiting->begin("loading");
  const Task task = recipe_task(recipe, options.recipe);
  TrainingRun run(recipe, task, settings_of(common), options.recipe);
  const TrainSetup& setup = run.setup();
  run.basis();  // until here Ctrl-C ends the program: there is nothing to save
  waiting.reset();
  const Interrupt interrupt({SIGINT, SIGTERM}, /*ends_waits=*/false);
  const bool language_model = setup.kind == TaskKind::kLanguageModel;
  ProgressPrinter progress(common.quiet, language_model);
  const bool scored = setup.validation.size() > 0 || recipe.train.selection == "split";
  const size_t num_jobs = make_jobs(recipe.train, task.name).size();
  bool began = false;
  size_t ended = 0;  // jobs, by numbers that are not finite
  const TrainObserver observer{
      .on_step =
          [&](const StepReport& report) {
            began = true;
            progress.step(report);
          },
      .on_epoch = [&](const EpochReport& report) { progress.epoch(report, scored ? task.metric : ""); },
      .on_sample = [&](const std::string& job, const TrainSample& sample) { progress.sample(job, sample); },
      .on_end =
          [&](const std::string& job, const JobEnd& end) {
            ++ended;
            warn_of_end(job, end);  // quiet or not: this job has failed
          },
      .stop_requested = [] { return Interrupt::pending(); }};
  try {
    const TrainResult result = run.run(observer, {.resume = options.resume, .allow_drift = options.allow_drift});
    const nlohmann::json done = summarize_run(setup, result);
    write_run_report(recipe.output, done, options.beside, report_notes(recipe, setup));
    if (common.json) {
      std::cout << done.dump() << '\n';
    } else {
      std::cout << summary_text(done) << "adapter file: " << human_bytes(result.adapter_bytes) << "\nspeed: "
                << static_cast<int64_t>(
                       done[language_model ? "tokens_per_second" : "sentences_per_second"].get<double>())
                << (language_model ? " tokens/s\nrun: " : " sentences/s\nrun: ") << recipe.output << " (report.html, "
                << (done.at("adapter").is_null() ? "no adapter" : done.at("adapter").get<std::string>()) << ")\n";
    }
    return 0;
  } catch (const Interrupted& stop) {
    std::cerr << "\nloraxs: interrupted at step " << stop.step << "; state saved in " << printable(recipe.output)
              << "; continue with: " << resume_line(options, common) << '\n';
    return 130;
  } catch (const Error& error) {  // a full disk; where every job has ended there is nothing to continue
    if (!began || ended == num_jobs) throw;
    const std::string problem = error.what(), hint = "continue with: " + resume_line(options, common);
    const bool fits = problem.size() + hint.size() < kMessageBytes;  // the line stays whole, to be pasted
    std::cerr << "loraxs: " << problem << (fits ? "; " : "\nloraxs: ") << hint << '\n';
    return 2;
  }
}

}  // namespace loraxs
