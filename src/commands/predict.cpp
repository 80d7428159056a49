#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands/commands.h"
#include "commands/session.h"
#include "data/task.h"
#include "eval/score.h"
#include "io/error.h"

namespace loraxs {
namespace {

constexpr int64_t kTokensPerBatch = 2048;

std::vector<Example> read_examples(std::istream& stream, const std::string& where) {
  std::vector<Example> examples;
  int64_t line_number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++line_number;
    if (line.ends_with('\r')) line.pop_back();
    examples.push_back(parse_prediction_line(line, where, line_number));
  }
  return examples;
}

}  // namespace

int run_predict(const PredictOptions& options, const CommonOptions& common) {
  std::vector<Example> examples;
  if (options.input.empty()) {
    examples = read_examples(std::cin, "standard input");
  } else {
    std::ifstream file(options.input);
    if (!file) throw Error(concat(options.input, ": cannot open"));
    examples = read_examples(file, options.input);
  }
  const OpenedAdapter opened = open_adapter_on_model(options.adapter, common);
  warn_on_drift(opened.file, stderr_log(common));
  const HeadLayout& head = opened.bank->layout.head;
  if (head.kind == "none")
    throw Error(concat(options.adapter.adapter, ": expected an adapter with a task head, found none"));
  if (examples.empty()) return 0;
  const auto tokenizer = load_tokenizer(options.adapter.model);
  const int64_t max_length =
      opened.file.provenance.max_length > 0 ? opened.file.provenance.max_length : opened.model.config.max_length();
  const EncodedExamples encoded = encode_examples(*tokenizer, examples, max_length);
  AdaptedModel model = adapted_model(opened, options.adapter.precision);
  const torch::Tensor logits = predict_logits(model, encoded, {0}, kTokensPerBatch).front();
  const bool regression = head.labels.empty();
  const torch::Tensor scores = regression ? logits : logits.softmax(1);  // [examples, outputs]
  const std::vector<double> best = predictions_of(logits, regression);
  const auto values = scores.accessor<float, 2>();
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    if (regression) {
      if (common.json) {
        std::cout << nlohmann::json({{"score", best[i]}}).dump() << '\n';
      } else {
        std::cout << best[i] << '\n';
      }
      continue;
    }
    const std::string& label = head.labels[static_cast<size_t>(best[i])];
    if (common.json) {
      nlohmann::json by_label = nlohmann::json::object();
      for (int64_t k = 0; k < head.outputs; ++k) by_label[head.labels[k]] = values[row][k];
      std::cout << nlohmann::json({{"label", label}, {"scores", by_label}}).dump() << '\n';
    } else {
      std::cout << label << '\t' << values[row][static_cast<int64_t>(best[i])] << '\n';
    }
  }
  return 0;
}

}  // namespace loraxs
