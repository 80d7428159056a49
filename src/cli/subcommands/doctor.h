// cli/subcommands/doctor.h: loraxs doctor.
#pragma once
#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct DoctorOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "doctor",
      .help = "This machine: CPU, GEMM speed, versions, what precision: auto picks",
      .example = "loraxs doctor",
      .opens_model = false};

  std::string bench;  // model whose prompt and answer rates are measured; empty: none

  void add_to(CLI::App& app);
};

int run(const DoctorOptions& options, const CommonOptions& common);

}  // namespace loraxs
