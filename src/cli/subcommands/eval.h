// cli/subcommands/eval.h: loraxs eval.
#pragma once
#include <cstdint>
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct EvalOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "eval",
      .help = "Score an adapter on a task",
      .example =
          "loraxs eval --model models/minilm --adapter runs/classification/seed-0/best.safetensors --task "
          "classification --data examples/tickets/tickets.csv --set text=message --set label=team"};
  DecodingOptions text = {.max_new_tokens = 0};  // the adapter may be left out for a language model; 0 = as the task
  SearchOptions search = {.beams = 0};           // 0 = as the task
  TaskOptions task;
  // Language models alone:
  std::string by = "auto";            // generation | choices | loss; auto = generation where the task has a grader
  std::string prompt = "paper";       // paper | training: the prompt that a generation answers
  std::string answers;                // file of JSON lines, in which a broken run goes on; empty = none
  int64_t batch = 16;                 // prompts computed together
  int64_t window = 1024, stride = 0;  // plain text: tokens; stride 0 = window

  void add_to(CLI::App& app);
};

int run(const EvalOptions& options, const CommonOptions& common);

}  // namespace loraxs
