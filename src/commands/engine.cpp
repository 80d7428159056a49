// The engine's one exported function: runs a parsed command and turns exceptions into messages and exit codes.
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <malloc.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "cli/subcommands.h"
#include "commands/session.h"
#include "io/error.h"
#include "io/mapped_file.h"

namespace loraxs {
namespace {

int dispatch(const Command& command) {
  return std::visit([&](const auto& options) { return run(options, command.common); }, command.options);
}

/// LibTorch takes a thread for every core that affinity allows; more than a quota pays for would wait for each other.
void set_threads(const CommonOptions& common) {
  if (common.threads > 0) {
    use_threads(common.threads, "--threads", common);
  } else if (std::getenv("OMP_NUM_THREADS") == nullptr && common.cores.allowed() < at::get_num_threads()) {
    at::set_num_threads(static_cast<int>(common.cores.allowed()));
  }
}

}  // namespace
}  // namespace loraxs

extern "C" __attribute__((visibility("default"))) int loraxs_run(const loraxs::Command* command) {
  // Freed blocks stay in the arena: mapping every large tensor anew costs 8 % of a training step.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
  loraxs::end_cleanly_on_lost_pages();
  try {
    loraxs::set_threads(command->common);
    return loraxs::dispatch(*command);
  } catch (const loraxs::Error& error) {
    std::cerr << "loraxs: " << error.what() << '\n';
    return 2;  // the user can fix it
  } catch (const std::filesystem::filesystem_error& error) {
    std::cerr << "loraxs: "
              << loraxs::safe_message(
                     loraxs::concat(error.path1().string(), ": cannot be used: ", error.code().message()))
              << '\n';
    return 2;
  } catch (const std::bad_alloc&) {
    std::cerr << "loraxs: expected more memory than this machine or its limits leave; take a smaller model or batch\n";
    return 2;
  } catch (const c10::Error& error) {
    std::cerr << "loraxs: internal error: " << loraxs::safe_message(error.what_without_backtrace()) << '\n';
    return 1;  // ours to fix
  } catch (const std::exception& error) {
    std::cerr << "loraxs: internal error: " << loraxs::safe_message(error.what()) << '\n';
    return 1;
  }
}
