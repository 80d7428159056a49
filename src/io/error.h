// io/error.h: errors that the person at the keyboard can fix.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

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
/// Anything else that is thrown is a bug or a broken machine.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace loraxs
