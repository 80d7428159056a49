// cli/subcommand.h: what the program says of a subcommand beside its options.
#pragma once

namespace loraxs {

struct Subcommand {
  const char* name;
  const char* help;         // in the list of subcommands
  const char* example;      // a command line with which its help ends
  bool opens_model = true;  // takes the options of reading a model, too
};

}  // namespace loraxs
