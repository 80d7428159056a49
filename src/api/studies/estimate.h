// api/studies/estimate.h: about how long trainings take, before they start.
#pragma once
#include <filesystem>
#include <vector>

#include "api/studies/comparison.h"
#include "data/example.h"
#include "train/recipe.h"

namespace loraxs {

/// Seconds of the runs of a comparison that are missing: every weight multiplied once forward and twice backward, at
/// the speed that this machine shows in a tenth of a second. Right within a factor of about two.
double estimate_comparison(const Study& study, const StudyRequest& request, const Comparison& comparison);

template <Comparison (*of)(const StudyRequest&)>
double estimate_by(const Study& study, const StudyRequest& request) {
  return estimate_comparison(study, request, of(request));
}

/// About how many tokens examples have, each cut at `max_length`: English words are cut into pieces of four to five
/// bytes.
double estimate_tokens(const std::vector<Example>& examples, int64_t max_length);
/// Seconds of so many tokens through the recipe's model, forward and backward counted as three.
double estimate_seconds(const Recipe& recipe, double tokens);

/// Of a study that trains nothing, or trains little.
double estimate_nothing(const Study& study, const StudyRequest& request);

/// "2 h 05 min", "3 min", "20 s".
std::string duration_text(double seconds);

}  // namespace loraxs
