#include "text/jinja/template.h"

#include "text/jinja/parser.h"

namespace loraxs::jinja {
namespace {

/// What the Failure says, with the place; `line` counts from 1.
TemplateError located(const std::string& where, int line, const Failure& failure) {
  const char* why = failure.kind == FailureKind::kRaised        ? "the template refuses: "
                    : failure.kind == FailureKind::kUnsupported ? "not supported: "
                                                                : "";
  return {concat(where, ": line ", line, ": ", why, failure.what()), failure.kind, line};
}

}  // namespace

struct Template::Syntax {
  Block block;
};

Template::Template(std::string source, std::string where, const Limits& limits)
    : source_(std::move(source)), where_(std::move(where)), limits_(limits), syntax_(std::make_unique<Syntax>()) {
  try {
    syntax_->block = parse(source_);
  } catch (const SyntaxFailure& failure) {
    throw located(where_, failure.line, failure);
  }
}

Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

Rendering Template::render(const Mapping& context, const std::function<std::tm()>& now) const {
  Machine machine(limits_, context, now);
  try {
    execute(syntax_->block, machine);
  } catch (const Failure& failure) {
    throw located(where_, machine.line, failure);
  }
  return {std::move(machine.output), std::move(machine.generated)};
}

}  // namespace loraxs::jinja
