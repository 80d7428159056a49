// text/jinja/expressions.h: the syntax tree of {{ … }}: every node computes its value.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/machine.h"

namespace loraxs::jinja {

class Expression {
 public:
  explicit Expression(int line) : line_(line) {}
  virtual ~Expression() = default;
  Value evaluate(Machine& machine) const {
    const Budget::Level guard(machine.budget);
    machine.line = line_;
    return compute(machine);
  }
  int line() const { return line_; }

 protected:
  virtual Value compute(Machine& machine) const = 0;
  int line_;
};
using Node = std::unique_ptr<Expression>;

struct CallArguments {
  std::vector<Node> positional;
  std::vector<std::pair<Text, Node>> named;
  Node more;        // *expression
  Node more_named;  // **expression
  Arguments evaluate(Machine& machine) const;
};

class Literal : public Expression {
 public:
  Literal(int line, Value value) : Expression(line), value_(std::move(value)) {}
  Value compute(Machine&) const override { return value_; }

 private:
  Value value_;
};

class Name : public Expression {
 public:
  Name(int line, std::string name) : Expression(line), name_(std::move(name)) {}
  Value compute(Machine& machine) const override { return machine.name(name_); }

 private:
  std::string name_;
};

/// [a, b] or (a, b).
class Collection : public Expression {
 public:
  Collection(int line, Items::Kind kind, std::vector<Node> parts)
      : Expression(line), kind(kind), parts(std::move(parts)) {}
  Value compute(Machine& machine) const override;
  const Items::Kind kind;
  std::vector<Node> parts;
};

class Dictionary : public Expression {
 public:
  Dictionary(int line, std::vector<std::pair<Node, Node>> entries) : Expression(line), entries_(std::move(entries)) {}
  Value compute(Machine& machine) const override;

 private:
  std::vector<std::pair<Node, Node>> entries_;
};

class Attribute : public Expression {
 public:
  Attribute(int line, Node value, std::string name)
      : Expression(line), value_(std::move(value)), name_(std::move(name)) {}
  Value compute(Machine& machine) const override;

 private:
  Node value_;
  Text name_;
};

class Subscript : public Expression {
 public:
  Subscript(int line, Node value, Node key) : Expression(line), value_(std::move(value)), key_(std::move(key)) {}
  Value compute(Machine& machine) const override;

 private:
  Node value_, key_;
};

class Slice : public Expression {
 public:
  Slice(int line, Node value, Node begin, Node end, Node step)
      : Expression(line),
        value_(std::move(value)),
        begin_(std::move(begin)),
        end_(std::move(end)),
        step_(std::move(step)) {}
  Value compute(Machine& machine) const override;

 private:
  Node value_, begin_, end_, step_;  // bounds may be null
};

class Call : public Expression {
 public:
  Call(int line, Node callee, CallArguments arguments)
      : Expression(line), callee_(std::move(callee)), arguments_(std::move(arguments)) {}
  Value compute(Machine& machine) const override { return call(machine, {}); }
  /// With further named arguments: the caller of {% call %}.
  Value call(Machine& machine, std::vector<std::pair<Text, Value>> named) const;

 private:
  Node callee_;
  CallArguments arguments_;
};

/// value | name(arguments), or value is name(arguments). Without a value: what a filter block printed.
class Application : public Expression {
 public:
  enum class Kind { kFilter, kTest };
  Application(int line, Kind kind, Node value, std::string name, CallArguments arguments)
      : Expression(line),
        kind_(kind),
        value_(std::move(value)),
        name_(std::move(name)),
        arguments_(std::move(arguments)) {}
  Value compute(Machine& machine) const override { return apply(machine, ""); }
  /// Applies the chain of filters to a printed text.
  Value apply(Machine& machine, const Text& printed) const;

 private:
  Kind kind_;
  Node value_;
  std::string name_;
  CallArguments arguments_;
};

class Unary : public Expression {
 public:
  Unary(int line, std::string sign, Node value) : Expression(line), sign_(std::move(sign)), value_(std::move(value)) {}
  Value compute(Machine& machine) const override;

 private:
  std::string sign_;  // not, -, +
  Node value_;
};

/// and, or, + - * / // % **.
class Binary : public Expression {
 public:
  Binary(int line, std::string sign, Node left, Node right)
      : Expression(line), sign_(std::move(sign)), left_(std::move(left)), right_(std::move(right)) {}
  Value compute(Machine& machine) const override;

 private:
  std::string sign_;
  Node left_, right_;
};

/// a ~ b ~ c.
class Concatenation : public Expression {
 public:
  Concatenation(int line, std::vector<Node> parts) : Expression(line), parts_(std::move(parts)) {}
  Value compute(Machine& machine) const override;

 private:
  std::vector<Node> parts_;
};

/// a < b <= c; also in and not in.
class Comparison : public Expression {
 public:
  Comparison(int line, Node first, std::vector<std::pair<std::string, Node>> rest)
      : Expression(line), first_(std::move(first)), rest_(std::move(rest)) {}
  Value compute(Machine& machine) const override;

 private:
  Node first_;
  std::vector<std::pair<std::string, Node>> rest_;
};

/// a if condition else b; without else it is undefined.
class Conditional : public Expression {
 public:
  Conditional(int line, Node condition, Node yes, Node no)
      : Expression(line), condition_(std::move(condition)), yes_(std::move(yes)), no_(std::move(no)) {}
  Value compute(Machine& machine) const override;

 private:
  Node condition_, yes_, no_;
};

/// a <sign> b for == != < <= > >= in, not in.
bool compare_values(const Value& a, const std::string& sign, const Value& b, Budget& budget);

}  // namespace loraxs::jinja
