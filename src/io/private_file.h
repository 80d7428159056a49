// io/private_file.h: files that only their owner reads.
#pragma once
#include <filesystem>
#include <string_view>

namespace loraxs {

/// As write_file_atomically() of io/atomic_file.h, in the place of what stands there, but at no moment readable by
/// anybody but its owner (mode 0600).
void write_private_file(const std::filesystem::path& path, std::string_view text);

}  // namespace loraxs
