#include "io/text_file.h"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>

#include "io/error.h"
#include "io/input_file.h"

namespace loraxs {
namespace {

std::string gunzip(const std::filesystem::path& path) {
  constexpr size_t kMostTimes = 100, kFreeBytes = size_t{16} << 20, kMostBytes = size_t{4} << 30;
  const InputFile packed(path);
  const size_t most = std::min(kMostBytes, packed.size() * kMostTimes + kFreeBytes);
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzdopen(::dup(packed.descriptor()), "rb"), gzclose);
  if (file == nullptr) throw Error(concat(path.string(), ": expected a readable file, found none"));
  std::string text;
  std::array<char, 1 << 16> block;
  while (true) {
    const int count = gzread(file.get(), block.data(), block.size());
    int code = Z_OK;
    const char* reason = gzerror(file.get(), &code);
    // A file cut short ends with Z_BUF_ERROR, not with a negative count.
    if (count < 0 || code < 0) throw Error(concat(path.string(), ": expected gzip data, found damage: ", reason));
    if (count == 0) return text;
    text.append(block.data(), count);
    if (text.size() <= most) continue;
    throw Error(concat(path.string(), ": expected at most ", kMostTimes, " times the ", packed.size(),
                       " packed bytes and 16 MB (4 GB in all), found more; unpack it yourself if it is sound"));
  }
}

/// Files that are no text, by their first bytes.
struct FileKind {
  std::string_view magic;
  const char* what;  // and what to do
};
constexpr std::array<FileKind, 10> kFileKinds = {{
    {"PK\x03\x04", "a zip archive; of Excel's .xlsx: save it as CSV UTF-8"},
    {"\xD0\xCF\x11\xE0", "a document of Office; save it as CSV UTF-8"},
    {"PAR1", "Parquet; pandas.read_parquet(FILE).to_json(NEW, orient=\"records\", lines=True) makes .jsonl of it"},
    {"ARROW1", "Arrow; datasets.Dataset.from_file(FILE).to_json(NEW) makes .jsonl of it"},
    {"\x1F\x8B", "gzip; let its name end with .gz, or unpack it"},
    {"\x28\xB5\x2F\xFD", "zstd; unpack it"},
    {"\xFD\x37zXZ", "xz; unpack it"},
    {"BZh", "bzip2; unpack it"},
    {"\x80\x02", "a pickle of Python; write its records as .jsonl"},
    {"%PDF", "PDF; take its text out"},
}};

}  // namespace

std::string text_extension(const std::filesystem::path& path) {
  std::string extension = (path.extension() == ".gz" ? path.stem() : path).extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension;
}

std::string read_text_file(const std::filesystem::path& path) {
  std::string text = path.extension() == ".gz" ? gunzip(path) : read_file(path);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

void check_utf8(std::string_view text, const std::string& where) {
  using namespace std::string_view_literals;
  const auto refuse = [&](const auto&... what) { throw Error(concat(where, ":1: expected UTF-8, found ", what...)); };
  if (text.starts_with("\xFF\xFE\0\0"sv) || text.starts_with("\0\0\xFE\xFF"sv)) {
    refuse("UTF-32; iconv -f UTF-32 -t UTF-8 FILE > NEW");
  }
  // UTF-16 shows by its byte order mark, or by the zero beside a first character of ASCII.
  const bool marked = text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF");
  if (marked || text.substr(0, 2).find('\0') != std::string_view::npos) {
    refuse("UTF-16; iconv -f UTF-16 -t UTF-8 FILE > NEW");
  }
  const size_t at = first_invalid_utf8(text);
  if (at == std::string_view::npos && !text.starts_with(kFileKinds.front().magic)) return;  // a small archive may be
  for (const FileKind& kind : kFileKinds) {
    if (text.starts_with(kind.magic)) refuse(kind.what);
  }
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  throw Error(concat(where, ":", line, ": expected UTF-8, found ", text.substr(at, 1),
                     "; a file of Windows: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"));
}

void check_typed(std::string_view text, const std::string& where) {
  const size_t at = first_invalid_utf8(text);
  if (at == std::string_view::npos) return;
  throw Error(concat(where, ": expected UTF-8, found ", text.substr(at, 1), " behind ", at, " bytes"));
}

}  // namespace loraxs
