#include "cli/subcommands/study.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void StudyOptions::add_to(CLI::App& app) {
  app.add_option("question", question, "energy: how much of the task gradient lies in S = {b R a}")
      ->check(CLI::IsMember({"energy"}))
      ->required();
  adapter.add_to(app, /*required=*/false);
  task.add_to(app);
  app.add_option("--rank", rank, "Rank of the subspaces")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--examples", examples, "First training examples whose mean gradient is taken")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-length", max_length, "Tokens of an example")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--seed", seed, "Seed of the random subspaces and of a fresh head")->capture_default_str();
  app.add_option("--format", format, "markdown or csv")
      ->check(CLI::IsMember({"markdown", "csv"}))
      ->capture_default_str();
  app.add_option("--report", report, "Page with the pictures to write");
}

}  // namespace loraxs
