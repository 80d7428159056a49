#include "cli/engine.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "io/error.h"

namespace loraxs {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> environment_path(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return fs::path(value);
}

/// "2.13.0+cpu" of a wheel (version.py) or a LibTorch archive (build-version); empty when neither is there.
std::string torch_version(const fs::path& torch) {
  std::ifstream archive(torch / "build-version"), wheel(torch / "version.py");
  std::string line;
  if (std::getline(archive, line)) return line;
  while (std::getline(wheel, line)) {
    const size_t begin = line.find('\'');
    if (line.starts_with("__version__") && begin != std::string::npos) {
      return line.substr(begin + 1, line.rfind('\'') - begin - 1);
    }
  }
  return "";
}

/// Makes LibTorch's libraries known to the loader under their names, so that libloraxs.so finds them loaded.
void load_torch(const fs::path& torch, const std::string& named_by) {
  const fs::path library = torch / "lib" / "libtorch.so";
  if (!fs::exists(library)) {
    throw Error(concat(named_by, "=", torch.string(), ": expected lib/libtorch.so in this folder, found none"));
  }
  const std::string version = torch_version(torch);
  if (!version.empty() && !version.starts_with(LORAXS_TORCH_VERSION ".")) {
    throw Error(concat(named_by, "=", torch.string(), ": expected LibTorch " LORAXS_TORCH_VERSION ", found ", version));
  }
  if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) throw Error(concat(named_by, ": ", dlerror()));
}

/// The torch package of an active environment.
std::optional<fs::path> environment_torch() {
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    const auto prefix = environment_path(name);
    if (!prefix || !fs::is_directory(*prefix / "lib")) continue;
    for (const auto& entry : fs::directory_iterator(*prefix / "lib")) {
      fs::path torch = entry.path() / "site-packages" / "torch";
      if (entry.path().filename().string().starts_with("python3") && fs::exists(torch / "lib" / "libtorch.so")) {
        return torch;
      }
    }
  }
  return std::nullopt;
}

fs::path engine_path() {
  const fs::path self = fs::read_symlink("/proc/self/exe").parent_path();
  const fs::path above = self.parent_path();  // of an installed program, or of the Python package
  for (const fs::path& candidate : {self / "libloraxs.so", above / "lib" / "libloraxs.so", above / "libloraxs.so"}) {
    if (fs::exists(candidate)) return candidate;
  }
  throw Error(concat(self.string(), "/loraxs: expected libloraxs.so beside it or in ../lib, found none"));
}

}  // namespace

RunCommand load_engine() {
  const fs::path path = engine_path();
  const auto named = environment_path("LORAXS_TORCH");
  if (named) load_torch(*named, "LORAXS_TORCH");
  void* engine = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (engine == nullptr) {
    const std::string problem = dlerror();
    const bool lacks_torch = problem.starts_with("libtorch") || problem.starts_with("libc10");
    const auto torch = lacks_torch && !named ? environment_torch() : std::nullopt;
    if (torch) {
      load_torch(*torch, "torch of the active environment");
      engine = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    }
    if (engine == nullptr) {
      throw Error(concat("cannot load ", path.string(), ": ", torch ? dlerror() : problem,
                         lacks_torch ? "; set LORAXS_TORCH to the folder of LibTorch " LORAXS_TORCH_VERSION
                                       ": python3 -c 'import torch; print(torch.__path__[0])' prints pip's"
                                     : ""));
    }
  }
  const auto run = reinterpret_cast<RunCommand>(dlsym(engine, "loraxs_run"));
  if (run == nullptr) throw Error(concat(path.string(), ": has no loraxs_run; it is of another version"));
  return run;
}

}  // namespace loraxs
