// text/jinja/percent_format.h: Python's "text" % values.
#pragma once
#include <string>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace loraxs::jinja {

/// %s %r %d %i %x %f %% with flags, width, precision and %(name)s; other conversions are a Failure.
Text percent_format(const std::string& text, const Value& value, Budget& budget);

}  // namespace loraxs::jinja
