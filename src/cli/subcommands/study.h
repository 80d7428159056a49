// cli/subcommands/study.h: loraxs study.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct StudyOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "study",
      .help = "The paper's questions, answered by measurement: tables, figures, ablations",
      .example =
          "loraxs study energy --model models/minilm --task classification --data examples/tickets/tickets.csv --set "
          "text=message --set label=team --rank 4"};
  std::string question;                 // energy, all, or a study's name
  std::vector<std::string> recipes;     // empty = those of the study
  std::string folder = "runs/studies";  // of runs and results
  bool quick = false;                   // two steps of each training
  bool estimate = false;                // the time alone
  bool trained = false;                 // what finished runs say
  std::string report;                   // page to write; empty = none
  // Of energy:
  AdapterOptions adapter;  // the adapter may be left out
  TaskOptions task;
  int64_t rank = 16, examples = 128, max_length = 128;
  uint64_t seed = 0;                // of the random subspaces and a fresh head
  std::string format = "markdown";  // markdown | csv

  void add_to(CLI::App& app);
};

int run(const StudyOptions& options, const CommonOptions& common);

}  // namespace loraxs
