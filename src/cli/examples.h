// cli/examples.h: a command line for each subcommand, as its help ends with.
#pragma once
#include <string>

namespace loraxs {

/// They work one after the other, in this order, in the repository: with the models of `make setup`, on its examples.
/// Empty for a name that is no subcommand.
const char* example_of(const std::string& command);

}  // namespace loraxs
