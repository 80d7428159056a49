// api/predictor.h: labels of texts by one adapter, and its score on a task.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/opened_adapter.h"
#include "data/task.h"
#include "text/tokenizer.h"

namespace loraxs {

struct Prediction {
  std::string label;           // of the most probable class; empty for regression
  double score = 0;            // its probability; the predicted value for regression
  std::vector<double> scores;  // probability per label; empty for regression
  std::string error;           // why there is none of all this (outputs that are not finite); else empty
};

/// The tokenizer of a model folder and the model with an adapter's head, prepared once. Thread-safe: calls wait for
/// each other, because the model keeps what it knows of the batch at hand. For calls that run at the same time, take a
/// Predictor each; they share the base's weights and the adapter.
class Predictor {
 public:
  /// Throws Error when the adapter has no task head.
  explicit Predictor(const OpenedAdapter& opened, const std::string& precision = "auto");

  /// Another adapter of the same base and basis from the next call on, without preparing the base again. Throws Error,
  /// changing nothing, when it needs more of the base than the first.
  void use(const OpenedAdapter& opened);

  /// One per example, in order.
  std::vector<Prediction> predict(const std::vector<Example>& examples);
  /// Logits of examples -> [examples, outputs] float32.
  torch::Tensor logits(const std::vector<Example>& examples);
  /// Class names in the order of scores; empty for regression.
  const std::vector<std::string>& labels() const { return labels_; }

 private:
  void take(const OpenedAdapter& opened);

  HeadLayout head_;
  std::vector<std::string> labels_;
  int64_t max_length_ = 0;
  std::string base_id_, basis_id_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::mutex mutex_;  // of model_
  AdaptedModel model_;
};

/// The value of the task's metric on its validation examples, and how many of them count (`max_length` may leave
/// nothing of an answer, outputs may not be finite). Throws Error when there are none.
struct TaskScore {
  double value = 0;
  int64_t examples = 0;
  std::vector<int64_t> failed;  // examples whose outputs are not finite; not of language models
};
TaskScore score_task(const OpenedAdapter& opened, const std::string& precision, const Task& task);
/// The same of every row of the bank. Texts are cut as the first file's adapter was trained.
std::vector<TaskScore> score_rows(const OpenedBank& opened, const std::string& precision, const Task& task);

/// Throws Error when the adapter's head is not one for the task's labels.
void check_head(const AdapterFile& file, const HeadLayout& head, const Task& task);

}  // namespace loraxs
