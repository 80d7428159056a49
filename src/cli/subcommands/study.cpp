#include "cli/subcommands/study.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void StudyOptions::add_to(CLI::App& app) {
  app.add_option(
         "question", question,
         "glue, parameters, init, vectors, sigma, importance, delta, budget, storage, speed, instruct, combine, "
         "seed, size, basis, spend, personal, or all; energy: how much of the task gradient lies in S = {b R a}")
      ->required();
  app.add_option("recipes", recipes, "Recipes that state model, data, rates and seeds; left out: the study's");
  app.add_option("--folder", folder, "Where runs and results go, and are found again")->capture_default_str();
  app.add_flag("--quick", quick, "Two steps of each training: whether it works, not what comes out");
  app.add_flag("--trained", trained, "Of comparisons: tell what finished runs say, and train nothing");
  app.add_flag("--estimate", estimate, "Say what is missing and about how long it takes, and start nothing");
  adapter.add_to(app, /*required=*/false);
  task.add_to(app);
  for (const char* name : {"--model", "--task", "--data"}) {
    app.get_option(name)->required(false);
  }
  app.add_option("--rank", rank, "Rank of the subspaces")->check(count_from(1))->capture_default_str();
  app.add_option("--examples", examples, "First training examples whose mean gradient is taken")
      ->check(whole_number_between(1, kMostRows))
      ->capture_default_str();
  app.add_option("--max-length", max_length, "Tokens of an example")->check(tokens_from(1))->capture_default_str();
  app.add_option("--seed", seed, "Seed of the random subspaces and of a fresh head")->capture_default_str();
  app.add_option("--format", format, "markdown or csv")
      ->check(CLI::IsMember({"markdown", "csv"}))
      ->capture_default_str();
  app.add_option("--report", report, "Page with the pictures to write");
}

}  // namespace loraxs
