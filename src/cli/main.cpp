// The launcher: parses first, then loads the engine, because loading LibTorch takes 0.2 s and --help should not.
#include <unistd.h>

#include <iostream>

#include "cli/engine.h"
#include "cli/parse.h"
#include "cli/process.h"
#include "io/printable.h"

int main(int argc, char** argv) {
  loraxs::prepare_process();
  loraxs::Parsed parsed = loraxs::parse_command_line(argc, argv);
  int code = parsed.exit_code;
  try {
    if (parsed.command) {
      parsed.command->common.cores = loraxs::cores_of_process();
      parsed.command->common.words.assign(argv, argv + argc);
      loraxs::bound_spinning();
      code = loraxs::load_engine()(&*parsed.command);
    }
  } catch (const std::exception& error) {  // also what the file system says about the folders it looks into
    std::cerr << "loraxs: " << loraxs::safe_message(error.what()) << '\n';
    code = 2;
  }
  if (!loraxs::flush_output() && code == 0) code = 2;
  _exit(code);  // LibTorch's destructors take 60 ms and save nothing
}
