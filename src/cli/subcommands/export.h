// cli/subcommands/export.h: loraxs export.
#pragma once
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct ExportOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "export",
      .help = "Write an adapter in another format",
      .example =
          "loraxs export --model models/minilm --adapter runs/classification/seed-0/best.safetensors --format peft "
          "--out as-lora"};
  AdapterOptions adapter;
  std::string format = "peft", out;
  std::string dtype;  // of the row, with format loraxs; empty = float32

  void add_to(CLI::App& app);
};

int run(const ExportOptions& options, const CommonOptions& common);

}  // namespace loraxs
