#include "cli/subcommands/generate.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void GenerateOptions::add_to(CLI::App& app) {
  text.add_to(app);
  text.add_system(app);
  app.add_option("--prompt", prompt, "The prompt");
  app.add_option("--input", input, "JSON lines with \"prompt\" and, if wanted, \"adapter\"");
  app.add_flag("--chat", chat, "A prompt is a user's turn of the model's chat template");
  app.add_flag("--ignore-eos", ignore_eos, "Go on after the model's end of text");
  app.add_option("--logprobs", logprobs, "Log-probabilities, with so many likely tokens each")->check(tokens_from(0));
  app.add_option("--n", samples, "Answers per prompt: draws, or the best of the beams")
      ->check(whole_number_between(1, kMostAnswers))
      ->capture_default_str();
  search.add_to(app);
  app.add_option("--batch", batch, "Prompts computed together")->check(count_from(1))->capture_default_str();
}

}  // namespace loraxs
