// text/jinja/failure.h: what goes wrong inside a template, and how much a rendering may spend.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

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

/// Templates come with models and are not trusted: none may run for ever or fill the memory.
struct Limits {
  int64_t steps = 5'000'000;          // expressions, statements and elements looked at
  int64_t depth = 600;                // nested expressions, statements and macro calls
  int64_t text_bytes = 16 << 20;      // of one text, the output included
  int64_t total_bytes = 512LL << 20;  // of all texts made on the way
};

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}
  void step(int64_t count = 1);
  /// Before a text of `bytes` is made, and before one of `size` grows by `bytes`.
  void text(int64_t bytes) { grow(0, bytes); }
  void grow(int64_t size, int64_t bytes);
  /// Enters a level; the destructor leaves it.
  class Level {
   public:
    explicit Level(Budget& budget);
    ~Level() { --budget_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Budget& budget_;
  };

 private:
  const Limits limits_;
  int64_t steps_ = 0, depth_ = 0, bytes_ = 0;
};

}  // namespace loraxs::jinja
