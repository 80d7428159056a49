// io/text_file.h: a whole text file in memory, unpacked if it is gzip-compressed.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace loraxs {

/// The file's text without a UTF-8 byte order mark; "x.tsv.gz" is unpacked. Throws Error for a missing, damaged or
/// truncated file, and for one that unpacks to more than 100 times its size (text comes to 3 to 20 times) or 4 GB.
std::string read_text_file(const std::filesystem::path& path);

/// ".csv" of "a.csv", "a.CSV" and "a.csv.gz": what a text file holds by its name.
std::string text_extension(const std::filesystem::path& path);

/// Throws Error "WHERE:LINE: …" for bytes that are no UTF-8, which tokenizers would silently replace;
/// told as what they are where a file's first bytes say it (Parquet, .xlsx, gzip, …).
void check_utf8(std::string_view text, const std::string& where);
/// The same for what somebody typed: "WHERE: …".
void check_typed(std::string_view text, const std::string& where);

}  // namespace loraxs
