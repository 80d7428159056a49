// io/text_file.h: a whole text file in memory, unpacked if it is gzip-compressed.
#pragma once
#include <filesystem>
#include <string>

namespace loraxs {

/// The file's text without a UTF-8 byte order mark; "x.tsv.gz" is unpacked. Throws Error for a missing, damaged or
/// truncated file.
std::string read_text_file(const std::filesystem::path& path);

}  // namespace loraxs
