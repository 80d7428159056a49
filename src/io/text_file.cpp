#include "io/text_file.h"

#include <zlib.h>

#include <array>
#include <memory>

#include "io/error.h"
#include "io/mapped_file.h"

namespace loraxs {
namespace {

std::string gunzip(const std::filesystem::path& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
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
  }
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
  std::string text = path.extension() == ".gz" ? gunzip(path) : std::string(MappedFile::open(path)->text());
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

}  // namespace loraxs
