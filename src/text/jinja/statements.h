// text/jinja/statements.h: the syntax tree of a template's text and {% … %}: every node prints or sets something.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/expressions.h"

namespace loraxs::jinja {

enum class Flow { kNext, kBreak, kContinue };

class Statement {
 public:
  explicit Statement(int line) : line_(line) {}
  virtual ~Statement() = default;
  Flow execute(Machine& machine) const {
    const Budget::Level guard(machine.budget);
    machine.line = line_;
    return run(machine);
  }

 protected:
  virtual Flow run(Machine& machine) const = 0;
  int line_;
};
using Block = std::vector<std::unique_ptr<Statement>>;
Flow execute(const Block& block, Machine& machine);

/// What stands left of = or between for and in: a name, a tuple of targets, or an attribute of a namespace.
struct Target {
  Text name = "";
  Text attribute = "";        // of the namespace `name`; empty: the name itself
  std::vector<Target> parts;  // not empty: a tuple
  bool tuple = false;
  int line = 0;
  void assign(Machine& machine, const Value& value) const;
};

/// What stands between the tags.
class Printed : public Statement {
 public:
  Printed(int line, std::string text) : Statement(line), text_(std::move(text)) {}

 private:
  Flow run(Machine& machine) const override;
  std::string text_;
};

class Print : public Statement {
 public:
  Print(int line, Node value) : Statement(line), value_(std::move(value)) {}

 private:
  Flow run(Machine& machine) const override;
  Node value_;
};

class If : public Statement {
 public:
  struct Branch {
    Node condition;  // null: else
    Block body;
  };
  If(int line, std::vector<Branch> branches) : Statement(line), branches_(std::move(branches)) {}

 private:
  Flow run(Machine& machine) const override;
  std::vector<Branch> branches_;
};

class For : public Statement {
 public:
  struct Parts {
    Target target;
    Node iterable, condition;  // condition may be null
    bool recursive = false;
    Block body, otherwise;
  };
  For(int line, Parts parts) : Statement(line), parts_(std::move(parts)) {}
  /// Walks `iterable`; depth counts recursive calls of loop(…).
  Flow loop(Machine& machine, const Value& iterable, int64_t depth) const;

 private:
  Flow run(Machine& machine) const override;
  Parts parts_;
};

class Jump : public Statement {
 public:
  Jump(int line, Flow flow) : Statement(line), flow_(flow) {}

 private:
  Flow run(Machine&) const override { return flow_; }
  Flow flow_;
};

class Set : public Statement {
 public:
  Set(int line, Target target, Node value) : Statement(line), target_(std::move(target)), value_(std::move(value)) {}

 private:
  Flow run(Machine& machine) const override;
  Target target_;
  Node value_;
};

/// {% set name | filter %} … {% endset %}, and {% filter name %} … {% endfilter %}, which has no target.
class Captured : public Statement {
 public:
  Captured(int line, std::optional<Target> target, std::unique_ptr<Application> filter, Block body)
      : Statement(line), target_(std::move(target)), filter_(std::move(filter)), body_(std::move(body)) {}

 private:
  Flow run(Machine& machine) const override;
  std::optional<Target> target_;
  std::unique_ptr<Application> filter_;  // may be null
  Block body_;
};

class With : public Statement {
 public:
  With(int line, std::vector<std::pair<Target, Node>> values, Block body)
      : Statement(line), values_(std::move(values)), body_(std::move(body)) {}

 private:
  Flow run(Machine& machine) const override;
  std::vector<std::pair<Target, Node>> values_;
  Block body_;
};

/// {% generation %}: what an assistant said.
class Generation : public Statement {
 public:
  Generation(int line, Block body) : Statement(line), body_(std::move(body)) {}

 private:
  Flow run(Machine& machine) const override;
  Block body_;
};

}  // namespace loraxs::jinja
