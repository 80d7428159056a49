// io/system_error.h: a failed system call as the sentence that a user reads.
#pragma once
#include <filesystem>
#include <string>

namespace loraxs {

/// Throws Error "PATH: cannot ACTION: REASON; hint", `reason` an errno.
[[noreturn]] void fail_to(const std::string& action, const std::filesystem::path& path, int reason);

}  // namespace loraxs
