// text/jinja/macro.h: {% macro %} and {% call %}.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/statements.h"

namespace loraxs::jinja {

/// What stands between the tags, and what it may be called with.
struct MacroParts {
  Text name = "";
  std::vector<std::pair<Text, Node>> parameters;  // with their defaults, which may be null
  Block body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;  // the body names them
};

class Macro : public Statement {
 public:
  Macro(int line, MacroParts parts) : Statement(line), parts_(std::move(parts)) {}

 private:
  Flow run(Machine& machine) const override;
  MacroParts parts_;
};

class CallBlock : public Statement {
 public:
  CallBlock(int line, MacroParts body, std::unique_ptr<Call> call)
      : Statement(line), body_(std::move(body)), call_(std::move(call)) {}

 private:
  Flow run(Machine& machine) const override;
  MacroParts body_;
  std::unique_ptr<Call> call_;
};

}  // namespace loraxs::jinja
