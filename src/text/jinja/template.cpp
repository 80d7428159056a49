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

Template::Template(std::string source, std::string where, const Limits& limits)
    : source_(std::move(source)), where_(std::move(where)), limits_(limits) {
  const auto bytes = static_cast<int64_t>(source_.size());
  if (bytes > limits_.source_bytes) {
    const auto what = concat("expected a template of at most ", limits_.source_bytes, " bytes, found ", bytes);
    throw located(where_, 1, Failure(FailureKind::kLimit, what));
  }
  try {
    syntax_ = std::make_unique<const Syntax>(parse(source_));
  } catch (const SyntaxFailure& failure) {
    throw located(where_, failure.line, failure);
  }
}

Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

Rendering Template::render(const Mapping& context, const std::function<std::tm()>& now, Spent* spent,
                           const Values& followed) const {
  Machine machine(limits_, context, now);
  for (const Value& value : followed) machine.printed.emplace(value.mapping(), std::pair(0, 0));
  try {
    execute(syntax_->block, machine);
  } catch (const Failure& failure) {
    throw located(where_, machine.line, failure);
  }
  if (spent != nullptr) *spent = {machine.budget.steps(), machine.budget.bytes()};
  Rendering rendering{.text = std::move(machine.output), .generated = std::move(machine.generated)};
  for (const Value& value : followed) rendering.printed.push_back(machine.printed.at(value.mapping()));
  return rendering;
}

bool Template::marks_generation() const { return syntax_->marks_generation; }

}  // namespace loraxs::jinja
