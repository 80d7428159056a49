// text/jinja/template.h: a Jinja template, parsed once and rendered often.
#pragma once
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/error.h"
#include "text/jinja/budget.h"
#include "text/jinja/failure.h"
#include "text/jinja/value.h"

namespace loraxs::jinja {

struct Syntax;

/// "models/x/tokenizer_config.json: chat_template: line 3: 'role' is undefined". Jinja2 raises where this is thrown.
class TemplateError : public Error {
 public:
  TemplateError(const std::string& message, FailureKind failure_kind, int at_line)
      : Error(message), kind(failure_kind), line(at_line) {}
  FailureKind kind;
  int line;
};

struct Rendering {
  std::string text;
  std::vector<std::pair<size_t, size_t>> generated;  // bytes of {% generation %} blocks: first, one past the last
  std::vector<std::pair<size_t, size_t>> printed;    // of each followed dict: what a loop printed while it stood there
};

/// What a rendering took of its Limits.
struct Spent {
  int64_t steps = 0, bytes = 0;
};

class Template {
 public:
  /// `where` starts every error. Throws TemplateError.
  Template(std::string source, std::string where, const Limits& limits = {});
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  /// `context`: what the template may name; strftime_now asks `now`. `followed`: dicts of the context, such as
  /// messages, whose part of the output is wanted; of several loops over one the longest part, empty where none
  /// printed. Throws TemplateError. Thread-safe.
  Rendering render(const Mapping& context, const std::function<std::tm()>& now, Spent* spent = nullptr,
                   const Values& followed = {}) const;
  /// The template marks with {% generation %} what assistants said.
  bool marks_generation() const;
  const std::string& source() const { return source_; }
  const std::string& where() const { return where_; }

 private:
  std::string source_, where_;
  Limits limits_;
  std::unique_ptr<const Syntax> syntax_;
};

}  // namespace loraxs::jinja
