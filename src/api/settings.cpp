#include "api/settings.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "io/error.h"
#include "ops/isa.h"

namespace loraxs {
namespace {

std::filesystem::path private_temporary_folder() {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / concat("loraxs-", geteuid());
  struct stat status {};
  const bool made = ::mkdir(path.c_str(), S_IRWXU) == 0;
  const bool known = ::lstat(path.c_str(), &status) == 0;
  const bool ours =
      known && S_ISDIR(status.st_mode) && status.st_uid == geteuid() && (status.st_mode & (S_IRWXG | S_IRWXO)) == 0;
  if (ours) return path;
  throw Error(concat(path.string(), ": expected a folder that this user alone may enter, found ",
                     made || !known ? "none" : "another; without HOME the cache stands there",
                     "; set HOME or XDG_CACHE_HOME, or pass --cache"));
}

}  // namespace

std::filesystem::path default_cache_folder() {
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != '\0')
    return std::filesystem::path(xdg) / "loraxs";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::filesystem::path(home) / ".cache" / "loraxs";
  return private_temporary_folder();
}

const char* precision_name(torch::ScalarType dtype) {
  return dtype == torch::kBFloat16  ? "bfloat16"
         : dtype == torch::kFloat16 ? "float16"
         : dtype == torch::kFloat64 ? "float64"
                                    : "float32";
}

torch::ScalarType resolve_precision(const std::string& precision, std::string* reason) {
  const auto because = [&](const std::string& text) {
    if (reason != nullptr) *reason = text;
  };
  if (precision == "float64") return torch::kFloat64;
  if (precision == "float32" || precision == "fp32") return torch::kFloat32;
  if (precision == "bfloat16" || precision == "bf16") return torch::kBFloat16;
  if (precision != "auto") {
    throw Error(concat("precision: expected auto, float32, bfloat16 or float64, found ", precision,
                       precision == "int8" ? "; int8 is of language models: chat, generate, serve and eval" : ""));
  }
#if defined(__x86_64__) && defined(__GNUC__)
  if (isa() == Isa::kAvx512 && __builtin_cpu_supports("avx512bf16")) {
    because("the CPU has avx512_bf16");
    return torch::kBFloat16;
  }
#endif
  because("the CPU has no avx512_bf16, where bfloat16 is slower than float32");
  return torch::kFloat32;
}

}  // namespace loraxs
