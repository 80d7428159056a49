// commands/table_entries.h: scores that runs, evaluations and files of answers hold, each with what it was made by.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace loraxs {

/// One score of one model with one adapter on one task.
struct TableEntry {
  std::string source;  // run folder or file, as it was named or found
  std::string model, method, rank;
  int64_t parameters = 0;  // trained, heads aside
  std::string task, metric;
  bool second = false;  // another count of the same answers (compatible, by_mean): beside the score, not in means
  double value = 0;
  std::optional<double> deviation;
  std::map<std::string, std::string> settings;  // what it was made with: keys of the recipe, or of the evaluation
};

/// Each path is a run's folder, a folder with runs below it, a file of answers (eval --answers) or of results (eval
/// --json). Runs below a folder that are not finished are left out and listed in `unfinished`. Throws Error for
/// anything else.
std::vector<TableEntry> read_table_entries(const std::vector<std::string>& paths, std::vector<std::string>& unfinished);

}  // namespace loraxs
