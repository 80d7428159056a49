#include "model/rotary_config.h"

#include <cmath>

#include "io/error.h"
#include "model/config_keys.h"

namespace loraxs {
namespace {

double required_factor(Fields& scaling) {
  if (!scaling.has("factor")) scaling.fail("factor", "expected a number > 0, found none");
  return scaling.positive_number("factor", 1.0);
}

/// `ratio`: of the longest to the original length, for files that leave the factor out.
double factor_or(Fields& scaling, double ratio) { return scaling.has("factor") ? required_factor(scaling) : ratio; }

std::vector<float> pair_factors(Fields& scaling, const std::string& key, int64_t pairs) {
  const std::vector<double> values = scaling.numbers(key, {});
  if (static_cast<int64_t>(values.size()) != pairs) {
    scaling.fail(key, concat("expected ", pairs, " numbers, one for each pair of a head, found ", values.size()));
  }
  std::vector<float> factors(values.begin(), values.end());
  for (const float factor : factors) {
    if (!(factor > 0 && std::isfinite(factor))) scaling.fail(key, concat("expected numbers > 0, found ", factor));
  }
  return factors;
}

/// How much further apart keys are seen where yarn stretches by `scale`.
double yarn_mscale(double scale, double weight) { return scale <= 1 ? 1 : 0.1 * weight * std::log(scale) + 1; }

void parse_yarn(Fields& scaling, double ratio, RotaryConfig& rotary) {
  rotary.factor = factor_or(scaling, ratio);
  const double mscale = scaling.non_negative_number("mscale", 0),
               all = scaling.non_negative_number("mscale_all_dim", 0);
  const double inferred = mscale != 0 && all != 0 ? yarn_mscale(rotary.factor, mscale) / yarn_mscale(rotary.factor, all)
                                                  : yarn_mscale(rotary.factor, 1);
  rotary.attention_factor = scaling.positive_number("attention_factor", inferred);
  rotary.beta_fast = scaling.positive_number("beta_fast", rotary.beta_fast);
  rotary.beta_slow = scaling.positive_number("beta_slow", rotary.beta_slow);
  rotary.truncate = scaling.boolean("truncate", true);
  if (!(rotary.theta > 1)) scaling.fail("rope_theta", concat("expected more than 1 for yarn, found ", rotary.theta));
}

void parse_longrope(Fields& scaling, double ratio, int64_t pairs, RotaryConfig& rotary) {
  rotary.factors = pair_factors(scaling, "short_factor", pairs);
  rotary.long_factors = pair_factors(scaling, "long_factor", pairs);
  rotary.factor = factor_or(scaling, ratio);
  const auto original = static_cast<double>(rotary.original_max_position_embeddings);
  if (original < 2) scaling.fail("original_max_position_embeddings", "expected at least 2 for longrope, found 1");
  const double inferred = rotary.factor <= 1 ? 1 : std::sqrt(1 + std::log(rotary.factor) / std::log(original));
  rotary.attention_factor = scaling.positive_number("attention_factor", inferred);
}

void parse_llama3(Fields& scaling, RotaryConfig& rotary) {
  rotary.factor = required_factor(scaling);
  rotary.low_freq_factor = scaling.positive_number("low_freq_factor", 1.0);
  rotary.high_freq_factor = scaling.positive_number("high_freq_factor", 4.0);
  if (rotary.high_freq_factor > rotary.low_freq_factor) return;
  scaling.fail("high_freq_factor", concat("expected more than low_freq_factor ", rotary.low_freq_factor, ", found ",
                                          rotary.high_freq_factor));
}

}  // namespace

RotaryConfig parse_rotary(Fields& fields, const ModelConfig& config) {
  RotaryConfig rotary;
  const double theta = fields.positive_number("rope_theta", 10000.0);
  fields.raw("rope_scaling");
  fields.raw("rope_parameters");
  Fields scaling = fields.object(rope_key(fields));
  scaling.ignore_unknown();
  rotary.theta = scaling.positive_number("rope_theta", theta);
  const std::string type_key = scaling.has("rope_type") ? "rope_type" : "type";
  rotary.scaling = scaling.choice(type_key, "default", {"default", "linear", "dynamic", "yarn", "longrope", "llama3"});
  // Its own key of the file counts before that of the object.
  const int64_t within =
      scaling.positive_int("original_max_position_embeddings", config.max_position_embeddings, kMostPositions);
  const int64_t original = fields.positive_int("original_max_position_embeddings", within, kMostPositions);
  const double ratio = static_cast<double>(config.max_position_embeddings) / static_cast<double>(original);
  if (rotary.scaling == "default") return rotary;
  rotary.original_max_position_embeddings = original;
  if (rotary.scaling == "linear") {
    rotary.factor = required_factor(scaling);
    rotary.original_max_position_embeddings = 0;
  } else if (rotary.scaling == "dynamic") {
    rotary.factor = required_factor(scaling);
    rotary.original_max_position_embeddings = config.max_position_embeddings;
    if (config.head_dim <= 2) scaling.fail(type_key, "expected another type for heads of 2 columns, found dynamic");
  } else if (rotary.scaling == "yarn") {
    parse_yarn(scaling, ratio, rotary);
  } else if (rotary.scaling == "longrope") {
    parse_longrope(scaling, ratio, config.head_dim / 2, rotary);
  } else {
    parse_llama3(scaling, rotary);
  }
  return rotary;
}

}  // namespace loraxs
