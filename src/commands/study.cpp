#include "api/studies/study.h"

#include <chrono>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>

#include "api/studies/estimate.h"
#include "cli/subcommands/study.h"
#include "commands/energy.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "commands/shell_line.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "report/page.h"
#include "train/train_observer.h"

namespace loraxs {
namespace {

namespace fs = std::filesystem;

volatile std::sig_atomic_t study_interrupted = 0;  // the one thing a signal handler may touch

void on_study_interrupt(int) { study_interrupted = 1; }

/// A line every few seconds, and one for each part.
class StudyPrinter {
 public:
  StudyPrinter(const Study& study, const LogSink& log) : study_(study), log_(log) {}

  void operator()(const StudyProgress& progress) {
    if (!log_) return;
    constexpr double kInterval = 5;
    const auto now = std::chrono::steady_clock::now();
    const bool same = progress.part == part_;
    if (same && std::chrono::duration<double>(now - shown_).count() < kInterval) return;
    shown_ = now;
    part_ = progress.part;
    std::string line =
        concat("study=", study_.name, " part=", progress.part, "/", progress.parts, " \"", progress.name, "\"");
    if (progress.steps > 0) {
      line += concat(" step=", progress.step, "/", progress.steps, " eta=", clock_text(progress.seconds_left));
    }
    log_(LogLevel::kInfo, line);
  }

 private:
  const Study& study_;
  const LogSink& log_;
  size_t part_ = 0;
  std::chrono::steady_clock::time_point shown_{};
};

/// Run folders in `folder` that no result of this study was read from: of other studies and other settings.
size_t count_runs(const fs::path& folder) {
  size_t count = 0;
  std::error_code code;
  for (fs::directory_iterator entry(folder, code), end; !code && entry != end; entry.increment(code)) {
    if (fs::exists(entry->path() / ".loraxs-run")) ++count;
  }
  return count;
}

std::string page_of(const Study& study, const StudyFindings& findings) {
  std::vector<std::string> charts;
  charts.reserve(findings.charts.size());
  for (const Chart& chart : findings.charts) charts.push_back(svg_chart(chart));
  return html_page(
      concat("Study ", study.name), study.question,
      concat("<p>The paper: ", escape_html(study.paper), "</p><h2>Answer</h2><pre>", escape_html(findings.answer),
             "</pre>", html_charts(charts), "<h2>Numbers</h2>", table_html(findings.table)));
}

/// NAME.csv, NAME.json (question and answer) and pictures NAME.svg, NAME-2.svg, … in the folder.
void write_findings(const Study& study, const fs::path& folder, const StudyFindings& findings, bool complete) {
  write_file_atomically(folder / concat(study.name, ".csv"), table_csv(findings.table), Existing::kReplaced);
  const nlohmann::ordered_json told = {{"study", study.name},
                                       {"question", study.question},
                                       {"paper", study.paper},
                                       {"answer", findings.answer},
                                       {"complete", complete}};
  write_file_atomically(folder / concat(study.name, ".json"), told.dump(1) + "\n", Existing::kReplaced);
  size_t number = 0;
  for (const Chart& chart : findings.charts) {
    const std::string svg = svg_file(chart);
    if (svg.empty()) continue;
    ++number;
    const std::string name = number == 1 ? concat(study.name, ".svg") : concat(study.name, "-", number, ".svg");
    write_file_atomically(folder / name, svg, Existing::kReplaced);
  }
}

StudyRequest request_of(const StudyOptions& options, const CommonOptions& common) {
  StudyRequest request{.folder = options.folder,
                       .quick = options.quick,
                       .trained_only = options.trained,
                       .settings = settings_of(common)};
  request.recipes.assign(options.recipes.begin(), options.recipes.end());
  if (options.quick) request.folder /= "quick";
  return request;
}

void run_one(const Study& study, const StudyOptions& options, const CommonOptions& common) {
  StudyRequest request = request_of(options, common);
  const LogSink log = request.settings.log;
  std::error_code code;
  fs::create_directories(request.folder, code);
  if (code) throw Error(concat(request.folder.string(), ": --folder: cannot create: ", code.message()));
  const double seconds = study.estimate(study, request);
  const size_t before = count_runs(request.folder);
  if (log) {
    log(LogLevel::kInfo,
        concat("study=", study.name, " estimate=\"", seconds > 0 ? duration_text(seconds) : "short",
               "\" runs_there=", before, before > 0 ? "; those of other settings are left alone" : ""));
  }
  if (options.estimate) {
    std::cout << study.name << ": " << (seconds > 0 ? duration_text(seconds) : "short, or all is there") << '\n';
    return;
  }
  StudyPrinter printer(study, log);
  request.on_progress = [&](const StudyProgress& progress) { printer(progress); };
  request.on_part = [&](const StudyFindings& findings) { write_findings(study, request.folder, findings, false); };
  request.stop_requested = [] { return study_interrupted != 0; };
  const StudyFindings findings = study.run(study, request);
  write_findings(study, request.folder, findings, findings.complete);
  if (!options.report.empty()) write_file_atomically(options.report, page_of(study, findings));
  if (common.json) {
    const nlohmann::json done = {{"study", study.name},
                                 {"csv", (request.folder / concat(study.name, ".csv")).string()},
                                 {"answer", findings.answer}};
    std::cout << json_text(done) << '\n';
  } else {
    std::cout << study.question << "\n\n" << table_markdown(findings.table) << '\n' << findings.answer << '\n';
  }
}

}  // namespace

int run(const StudyOptions& options, const CommonOptions& common) {
  if (options.question == "energy") return run_energy(options, common);
  const bool all = options.question == "all";
  if (!options.report.empty()) {
    if (all) throw Error("--report: expected one study, found all");
    refuse_existing(options.report, "--report");
  }
  if (all && !options.recipes.empty()) throw Error("study all: expected no recipes, each study has its own");
  const Study* one = all ? nullptr : &find_study(options.question);
  std::signal(SIGINT, on_study_interrupt);
  std::signal(SIGTERM, on_study_interrupt);
  try {
    if (one != nullptr) {
      run_one(*one, options, common);
      return 0;
    }
    int code = 0;
    for (const Study& study : studies()) {
      try {
        run_one(study, options, common);
      } catch (const Error& error) {  // data that are absent: the others go on
        std::cerr << "loraxs: " << safe_message(concat("study ", study.name, ": ", error.what())) << '\n';
        code = 2;
      }
    }
    return code;
  } catch (const Interrupted&) {
    std::cerr << "\nloraxs: interrupted; what is done is kept in " << printable(options.folder)
              << "; continue with: " << shell_line(common.words) << '\n';
    return 130;
  }
}

}  // namespace loraxs
