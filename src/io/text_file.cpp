#include "io/text_file.h"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
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

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
  std::string text = path.extension() == ".gz" ? gunzip(path) : read_file(path);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

void check_utf8(std::string_view text, const std::string& where) {
  // UTF-16 shows by its byte order mark, or by the zero beside a first character of ASCII.
  const bool marked = text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF");
  if (marked || text.substr(0, 2).find('\0') != std::string_view::npos) {
    throw Error(concat(where, ":1: expected UTF-8, found UTF-16; iconv -f UTF-16 -t UTF-8 FILE > NEW"));
  }
  const size_t at = first_invalid_utf8(text);
  if (at == std::string_view::npos) return;
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  throw Error(concat(where, ":", line, ": expected UTF-8, found ", text.substr(at, 1),
                     "; a file of Windows: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"));
}

}  // namespace loraxs
