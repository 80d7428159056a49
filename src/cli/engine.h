// cli/engine.h: libloraxs.so and the LibTorch it needs, found and loaded.
#pragma once
#include "cli/subcommands.h"

namespace loraxs {

using RunCommand = int (*)(const Command*);

/// Loads libloraxs.so, which lies beside the program or in ../lib, and returns what runs a command in it. LibTorch is
/// $LORAXS_TORCH (the folder that has lib/libtorch.so), else what the system's loader finds (RUNPATH of the build,
/// LD_LIBRARY_PATH, ld.so.conf), else the torch package of the active virtual or conda environment. Throws Error.
RunCommand load_engine();

}  // namespace loraxs
