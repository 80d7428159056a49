// model/site.h: the projections of a model that an adapter can change.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace loraxs {

/// One linear projection of the frozen model, by its canonical name: "layers.3.query".
struct Site {
  std::string name;     // "layers.{layer}.{module}"
  std::string module;   // "query", "key", "value", "attention_output", "intermediate", "mlp_output"
  std::string hf_name;  // "bert.encoder.layer.3.attention.self.query": what users of Hugging Face write
  int64_t layer = 0;
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool has_bias = false;
  bool operator==(const Site&) const = default;
};

}  // namespace loraxs
