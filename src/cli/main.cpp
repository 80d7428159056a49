// The launcher: parses first, then loads the engine, because loading LibTorch takes 0.2 s and --help should not.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>

#include "cli/parse.h"

namespace {

/// libloraxs-engine.so beside the program, or in ../lib where it is installed.
void* load_engine() {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (const std::filesystem::path& candidate :
       {self / "libloraxs-engine.so", self / ".." / "lib" / "libloraxs-engine.so"}) {
    if (!std::filesystem::exists(candidate)) continue;
    void* engine = dlopen(candidate.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (engine == nullptr) std::cerr << "loraxs: cannot load " << candidate.string() << ": " << dlerror() << '\n';
    return engine;
  }
  std::cerr << "loraxs: expected libloraxs-engine.so beside " << self.string()
            << "/loraxs, found none; run make build\n";
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const loraxs::Parsed parsed = loraxs::parse_command_line(argc, argv);
  if (!parsed.command) return parsed.exit_code;
  void* engine = load_engine();
  if (engine == nullptr) return 1;
  using Run = int (*)(const loraxs::Command*);
  const auto run = reinterpret_cast<Run>(dlsym(engine, "loraxs_run"));
  if (run == nullptr) {
    std::cerr << "loraxs: libloraxs-engine.so has no loraxs_run; it is of another version: run make build\n";
    return 1;
  }
  const int code = run(&*parsed.command);
  std::cout.flush();
  std::fflush(nullptr);
  _exit(code);  // LibTorch's destructors take 60 ms and save nothing
}
