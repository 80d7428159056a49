// io/error.h: errors that the person at the keyboard can fix.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

#include "io/printable.h"

namespace loraxs {

/// The arguments, streamed one after the other (GCC 12 has no std::format).
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

/// Something the user can fix. The text says where, which field, what was expected, what was found, and a hint:
/// "runs/a/recipe.yaml: method.rank: expected an integer from 1 to 384, found 0".
/// Names and values in it come from files of others, so what() is made safe here, once for the program, the Python
/// module and the library: printable, and at most kMessageBytes with its middle left out.
/// Anything else that is thrown is a bug or a broken machine.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(safe_message(message)) {}
};

}  // namespace loraxs
