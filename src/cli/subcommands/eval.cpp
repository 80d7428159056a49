#include "cli/subcommands/eval.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void EvalOptions::add_to(CLI::App& app) {
  text.add_to(app);
  search.add_to(app);
  task.add_to(app);
  app.add_option("--by", by, "Language models: generation, choices, loss; auto = generation if the task is graded")
      ->check(CLI::IsMember({"auto", "generation", "choices", "loss"}));
  app.add_option("--prompt", prompt, "The prompt of the paper's evaluation, or that of its training")
      ->check(CLI::IsMember({"paper", "training"}))
      ->capture_default_str();
  app.add_option("--answers", answers,
                 "Language models: file of all answers, JSON lines; a broken run goes on where it was");
  app.add_option("--batch", batch, "Prompts computed together")->check(count_from(1))->capture_default_str();
  app.add_option("--window", window, "Plain text: tokens of a window")->check(whole_number_between(2, 1 << 20));
  app.add_option("--stride", stride, "Plain text: a window begins every so many tokens; 0 = window")
      ->check(tokens_from(0));
}

}  // namespace loraxs
