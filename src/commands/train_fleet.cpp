#include "commands/train_fleet.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/fleet.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "io/error.h"
#include "io/peak_memory.h"
#include "train/fleet_summary.h"

namespace loraxs {
namespace {

using Clock = std::chrono::steady_clock;

/// A line every few seconds; on a terminal it stays in its place.
class FleetProgressPrinter {
 public:
  FleetProgressPrinter(bool quiet, const FleetCounts& at_start)
      : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0), first_(at_start.done + at_start.failed) {}

  void show(const FleetCounts& counts) {
    const auto now = Clock::now();
    const double interval = terminal_ ? 0.2 : 5.0;
    if (quiet_ || std::chrono::duration<double>(now - shown_).count() < interval) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const int64_t over = counts.done + counts.failed - first_;
    constexpr double kHour = 3600;
    const double per_second = seconds > 0 ? static_cast<double>(over) / seconds : 0;
    const std::string left =
        over > 0 ? clock_text(static_cast<double>(counts.waiting() + counts.active) / per_second) : "?";
    std::cerr << (terminal_ ? "\r" : "") << "done=" << counts.done << '/' << counts.jobs << " active=" << counts.active
              << " waiting=" << counts.waiting() << " failed=" << counts.failed
              << " adapters_per_hour=" << std::llround(per_second * kHour) << " eta=" << left
              << (terminal_ ? " \x1b[K" : "\n") << std::flush;
    open_ = terminal_;
  }

  /// Ends the line that stays in its place.
  void close() {
    if (open_) std::cerr << '\n';
    open_ = false;
  }

 private:
  bool quiet_, terminal_, open_ = false;
  int64_t first_;
  Clock::time_point begin_ = Clock::now(), shown_{};
};

}  // namespace

int train_fleet(const Recipe& recipe, const std::string& where, const RunOptions& options, const CommonOptions& common,
                const std::function<bool()>& stop_requested, const std::string& resume_line) {
  std::optional<Progress> waiting(std::in_place, stderr_log(common));
  waiting->begin("loading");
  FleetRun run(recipe, settings_of(common), where);
  waiting.reset();
  std::optional<FleetProgressPrinter> printer;
  const FleetObserver observer{
      .on_round = [&](const FleetCounts& counts) { printer->show(counts); },
      .on_failure = [&](const FleetMember& member, const std::string& reason) {  // quiet or not: this job has failed
        if (printer) printer->close();
        const std::string title = member.name.empty() ? "" : member.title() + ": ";
        std::cerr << "loraxs: warning: " << safe_message(concat("job ", title, reason)) << '\n';
      }};
  run.begin(observer, options);
  printer.emplace(common.quiet, run.counts());
  try {
    while (run.step()) {
      if (!stop_requested()) continue;
      run.save();
      printer->close();
      std::cerr << "loraxs: interrupted after " << run.counts().done << " adapters; state saved in "
                << printable(recipe.output) << "; continue with: " << resume_line << '\n';
      return 130;
    }
  } catch (const Error& error) {  // a full disk, a store that has gone, on_error: stop
    printer->close();
    std::cerr << "loraxs: " << error.what() << "\nloraxs: continue with: " << resume_line << '\n';
    return 2;
  }
  printer->close();
  nlohmann::json done = run.finish();
  done["peak_memory_bytes"] = peak_memory_bytes();
  if (common.json) {
    std::cout << done.dump() << '\n';
  } else {
    std::cout << fleet_text(done) << "store: " << done.at("store").get<std::string>() << "\nrun: " << recipe.output
              << " (report.html, jobs.jsonl)\n";
  }
  return done.at("failed") == 0 ? 0 : 2;
}

}  // namespace loraxs
