// api/studies/estimate.h: about how long trainings take, before they start.
#pragma once
#include <filesystem>
#include <vector>

#include "api/studies/comparison.h"

namespace loraxs {

/// Seconds of the runs of a comparison that are missing: every weight multiplied once forward and twice backward, at
/// the speed that this machine shows in a tenth of a second. Right within a factor of about two.
double estimate_comparison(const Study& study, const StudyRequest& request, const Comparison& comparison);

template <Comparison (*of)(const StudyRequest&)>
double estimate_by(const Study& study, const StudyRequest& request) {
  return estimate_comparison(study, request, of(request));
}
/// Of a study that trains nothing, or trains little.
double estimate_nothing(const Study& study, const StudyRequest& request);

/// "2 h 05 min", "3 min", "20 s".
std::string duration_text(double seconds);

}  // namespace loraxs
