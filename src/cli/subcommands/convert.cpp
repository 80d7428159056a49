#include "cli/subcommands/convert.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void ConvertOptions::add_to(CLI::App& app) {
  app.add_option("--model", model, "GGUF file or Hugging Face folder of a decoder")->required();
  app.add_option("--out", out, "Folder to write of a file, a .gguf file of a folder")->required();
  app.add_option("--dtype", dtype,
                 "float32, float16, bfloat16; for a file q8_0, q5_1, q5_0, q4_1, q4_0 too (default: as stored, what is "
                 "quantised as float32)")
      ->check(CLI::IsMember({"float32", "float16", "bfloat16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"}));
}

}  // namespace loraxs
