#include "cli/subcommands/doctor.h"

namespace loraxs {

void DoctorOptions::add_to(CLI::App& /*app*/) {}

}  // namespace loraxs
