#include "api/predictor.h"

#include <numeric>

#include "api/task_encoder.h"
#include "batch/token_budget.h"
#include "eval/metrics.h"
#include "eval/score.h"
#include "io/error.h"

namespace loraxs {
namespace {

/// The length the adapter was trained with, else the model's.
int64_t max_length_of(const AdapterFile& file, const BaseModel& model) {
  const int64_t trained = file.provenance.max_length;
  return trained > 0 ? trained : model.config.max_length();
}

void check_task_head(const OpenedAdapter& opened) {
  if (opened.bank->layout->head.kind != "none") return;
  throw Error(concat(opened.file.path.string(), ": expected an adapter with a task head, found none"));
}

constexpr const char* kNotFinite =
    "expected finite outputs, found NaN or infinity; weights of the base model or of the adapter are damaged, or too "
    "large for the precision";

/// The metric over the examples whose outputs [examples, outputs] are finite.
TaskScore score_outputs(const torch::Tensor& outputs, const Task& task, const std::vector<double>& targets) {
  const torch::Tensor finite = outputs.isfinite().all(1);  // [examples]
  const std::vector<double> predictions = predictions_of(outputs, task.regression());
  TaskScore score;
  std::vector<double> predicted, wanted;
  for (size_t i = 0; i < predictions.size(); ++i) {
    if (!finite.const_data_ptr<bool>()[i]) {
      score.failed.push_back(static_cast<int64_t>(i));
      continue;
    }
    predicted.push_back(predictions[i]);
    wanted.push_back(targets[i]);
  }
  if (predicted.empty()) throw Error(concat(task.name, ": all ", predictions.size(), " examples: ", kNotFinite));
  score.value = compute_metric(task.metric, predicted, wanted);
  score.examples = static_cast<int64_t>(predicted.size());
  return score;
}

}  // namespace

Predictor::Predictor(const OpenedAdapter& opened, const std::string& precision)
    : base_id_(opened.model.base_id),
      basis_id_(opened.basis->basis_id),
      tokenizer_(tokenizer_of(opened.model)),
      model_(adapted_model(opened, precision)) {
  check_task_head(opened);
  take(opened);
}

void Predictor::use(const OpenedAdapter& opened) {
  check_task_head(opened);
  if (opened.model.base_id != base_id_ || opened.basis->basis_id != basis_id_) {
    throw Error(
        concat(opened.file.path.string(), ": expected an adapter of the predictor's base and basis, found another's"));
  }
  const std::lock_guard lock(mutex_);
  model_.use(AdapterSet::of_bank(bank_for(opened.bank, model_.prepared()->options().dtype, opened.device)));
  take(opened);
}

void Predictor::take(const OpenedAdapter& opened) {
  head_ = opened.bank->layout->head;
  labels_ = opened.bank->labels(0);
  max_length_ = max_length_of(opened.file, opened.model);
}

torch::Tensor Predictor::logits(const std::vector<Example>& examples) {
  const ExampleView encoded = encode_examples(*tokenizer_, examples, max_length_);
  const std::lock_guard lock(mutex_);
  return predict_logits(model_, encoded, {0}, kTokensPerBatch).front();
}

std::vector<Prediction> Predictor::predict(const std::vector<Example>& examples) {
  std::vector<Prediction> predictions(examples.size());
  if (examples.empty()) return predictions;
  const torch::Tensor outputs = logits(examples);  // [examples, outputs]
  const bool regression = head_.regression;
  const std::vector<double> best = predictions_of(outputs, regression);
  const torch::Tensor finite = outputs.isfinite().all(1);  // [examples]
  const torch::Tensor scores = regression ? torch::Tensor() : outputs.softmax(1).to(torch::kFloat64);
  for (size_t i = 0; i < examples.size(); ++i) {
    Prediction& prediction = predictions[i];
    if (!finite.const_data_ptr<bool>()[i]) {
      prediction.error = kNotFinite;
      continue;
    }
    if (regression) {
      prediction.score = best[i];
      continue;
    }
    const double* row = scores.const_data_ptr<double>() + static_cast<int64_t>(i) * head_.outputs;
    prediction.scores.assign(row, row + head_.outputs);
    prediction.label = labels_[static_cast<size_t>(best[i])];
    prediction.score = prediction.scores[static_cast<size_t>(best[i])];
  }
  return predictions;
}

TaskScore score_task(const OpenedAdapter& opened, const std::string& precision, const Task& task) {
  return score_rows({.model = opened.model, .files = {opened.file}, .basis = opened.basis, .bank = opened.bank},
                    precision, task)
      .front();
}

std::vector<TaskScore> score_rows(const OpenedBank& opened, const std::string& precision, const Task& task) {
  const auto tokenizer = tokenizer_of(opened.model);
  const ExampleView examples = TaskEncoder(*tokenizer, opened.model.folder)
                                   .encode(task, task.validation, max_length_of(opened.files.front(), opened.model));
  if (examples.size() == 0) throw Error(concat(task.name, ": expected examples to score, found none"));
  if (!task.language_model()) check_metric(task.metric, task.regression(), task.name);
  AdaptedModel model = adapted_model(opened, precision);
  std::vector<int64_t> slots(opened.bank->num_adapters());
  std::iota(slots.begin(), slots.end(), 0);
  std::vector<TaskScore> scores;
  scores.reserve(slots.size());
  if (task.language_model()) {
    for (const double value : held_out_losses(model, examples, slots)) {
      scores.push_back({.value = value, .examples = examples.size()});
    }
    return scores;
  }
  for (const torch::Tensor& outputs : predict_logits(model, examples, slots, kTokensPerBatch)) {
    scores.push_back(score_outputs(outputs, task, examples.targets()));
  }
  return scores;
}

void check_head(const AdapterFile& file, const HeadLayout& head, const Task& task) {
  const int64_t outputs = task.language_model() ? 0 : task.num_outputs();
  if (outputs == head.outputs && (file.labels.empty() || task.labels == file.labels)) return;
  throw Error(concat(file.path.string(), ": expected a head of ", outputs, " outputs for ", task.name, ", found ",
                     head.outputs, "; this adapter was trained for ", file.provenance.task));
}

}  // namespace loraxs
