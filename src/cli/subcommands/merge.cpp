#include "cli/subcommands/merge.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void MergeOptions::add_to(CLI::App& app) {
  adapter.add_to(app);
  app.add_option("--out", out, "Folder to write; a .gguf file where the base is one")->required();
  app.add_option("--dtype", dtype,
                 "float32, float16, bfloat16; for GGUF q8_0, q5_1, q5_0, q4_1, q4_0 too (default: as the base)")
      ->check(CLI::IsMember({"float32", "float16", "bfloat16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"}));
}

}  // namespace loraxs
