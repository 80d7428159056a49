// eval/graders/math_form.h: the normal form in which answers of MATH are compared.
#pragma once
#include <string>

namespace loraxs {

/// Hendrycks et al. 2021 (MATH, math_equivalence.py): line breaks, \!, \left, \right, degrees, \$, \%, blanks and units
/// on the right go; tfrac and dfrac become frac, .5 becomes 0.5, "x = 3" becomes 3, \sqrt3 becomes \sqrt{3}, \frac12
/// becomes \frac{1}{2}, and so does 0.5 alone; 3/4 becomes \frac{3}{4}.
struct MathForm {
  std::string text;
  /// The reference's code throws on this text: two units, a \sqrt or \frac at the end, one slash that does not part two
  /// integers. `text` then is the form as far as it can be made.
  bool reference_fails = false;
};
MathForm math_form(const std::string& answer);

}  // namespace loraxs
