// serve/api/page_files.h: the files of the page, which the build puts into the program.
#pragma once
#include <array>
#include <cstddef>
#include <string_view>

namespace loraxs {

struct PageFile {
  const char* path;          // "/", "/app.js"
  const char* content_type;  // "text/html; charset=utf-8"
  const char* media_type;    // "text/html"
  std::string_view content;
};
inline constexpr size_t kNumPageFiles = 3;
extern const std::array<PageFile, kNumPageFiles> kPageFiles;

}  // namespace loraxs
