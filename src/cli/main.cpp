// The launcher: parses first, then loads the engine, because loading LibTorch takes 0.2 s and --help should not.
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "cli/engine.h"
#include "cli/parse.h"
#include "io/printable.h"

int main(int argc, char** argv) {
  const loraxs::Parsed parsed = loraxs::parse_command_line(argc, argv);
  if (!parsed.command) return parsed.exit_code;
  int code = 2;
  try {
    code = loraxs::load_engine()(&*parsed.command);
  } catch (const std::exception& error) {  // also what the file system says about the folders it looks into
    std::cerr << "loraxs: " << loraxs::safe_message(error.what()) << '\n';
  }
  std::cout.flush();
  std::fflush(nullptr);
  _exit(code);  // LibTorch's destructors take 60 ms and save nothing
}
