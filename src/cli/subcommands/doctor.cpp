#include "cli/subcommands/doctor.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void DoctorOptions::add_to(CLI::App& app) {
  app.add_option("--bench", bench, "Model whose prompt and answer rates are measured, precision by precision (30 s)");
}

}  // namespace loraxs
