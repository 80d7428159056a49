// api/predictor.h: labels of texts by one adapter.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "api/opened_adapter.h"
#include "data/example.h"
#include "text/tokenizer.h"

namespace loraxs {

struct Prediction {
  std::string label;           // of the most probable class; empty for regression
  double score = 0;            // its probability; the predicted value for regression
  std::vector<double> scores;  // probability per label; empty for regression
};

/// The tokenizer of a model folder and the model with an adapter's head, prepared once.
class Predictor {
 public:
  /// Throws Error when the adapter has no task head.
  explicit Predictor(const OpenedAdapter& opened, const std::string& precision = "auto");

  /// One per example, in order.
  std::vector<Prediction> predict(const std::vector<Example>& examples);
  /// Logits of examples -> [examples, outputs] float32.
  torch::Tensor logits(const std::vector<Example>& examples);
  /// The value of `metric` on labelled examples.
  double score(const std::vector<Example>& examples, const std::string& metric);
  /// Class names in the order of scores; empty for regression.
  const std::vector<std::string>& labels() const { return head_.labels; }

 private:
  HeadLayout head_;
  int64_t max_length_ = 0;
  std::unique_ptr<Tokenizer> tokenizer_;
  AdaptedModel model_;
};

}  // namespace loraxs
