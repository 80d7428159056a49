// text/jinja/failure.h: what goes wrong inside a template.
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

namespace loraxs::jinja {

/// Which exception Jinja2 raises in this case.
enum class FailureKind {
  kSyntax,       // TemplateSyntaxError, unknown filters and tests included
  kUndefined,    // UndefinedError
  kType,         // TypeError
  kValue,        // ValueError, OverflowError, ZeroDivisionError
  kSecurity,     // SecurityError
  kRaised,       // raise_exception(…) of the template
  kLimit,        // a limit of ours (or RecursionError)
  kUnsupported,  // Jinja2 can, we cannot
};

/// Thrown inside the interpreter; Template turns it into an Error with the line.
class Failure : public std::runtime_error {
 public:
  Failure(FailureKind failure_kind, const std::string& message) : std::runtime_error(message), kind(failure_kind) {}
  FailureKind kind;
};

/// Found before anything runs, so it knows its line.
class SyntaxFailure : public Failure {
 public:
  SyntaxFailure(const std::string& message, int at_line, FailureKind failure_kind = FailureKind::kSyntax)
      : Failure(failure_kind, message), line(at_line) {}
  int line;
};

/// The beginning of a text from outside, control characters escaped, in at most `most` bytes and "…" behind what is
/// cut: what an error may show of it.
std::string excerpt(std::string_view text, size_t most = 60);
/// The excerpt between single quotes.
std::string in_quotes(std::string_view text);

}  // namespace loraxs::jinja
