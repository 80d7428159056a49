#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "api/predictor.h"
#include "commands/commands.h"
#include "commands/session.h"
#include "data/delimited.h"
#include "data/label_column.h"
#include "data/task.h"
#include "io/error.h"
#include "io/json.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

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

/// Rows of a table with a header; other columns are ignored.
std::vector<Example> table_inputs(const PredictOptions& options) {
  const ExampleColumns columns{.first = options.text, .second = options.text_pair};
  return table_examples(read_table(options.input, /*header=*/true), columns, {});
}

bool is_csv(const std::string& path) { return path.ends_with(".csv") || path.ends_with(".csv.gz"); }

/// A line per text; one without a prediction has its "error", or is empty.
void print_prediction(const Prediction& prediction, const std::vector<std::string>& labels, bool json) {
  if (!json) {
    if (prediction.error.empty()) {
      if (!labels.empty()) std::cout << prediction.label << '\t';
      std::cout << prediction.score;
    }
    std::cout << '\n';
    return;
  }
  nlohmann::json line = nlohmann::json::object();
  if (!prediction.error.empty()) {
    line["error"] = prediction.error;
  } else if (labels.empty()) {
    line["score"] = prediction.score;
  } else {
    line = {{"label", prediction.label}, {"scores", nlohmann::json::object()}};
    for (size_t k = 0; k < labels.size(); ++k) line["scores"][labels[k]] = prediction.scores[k];
  }
  std::cout << json_text(line) << '\n';
}

}  // namespace

int run_predict(const PredictOptions& options, const CommonOptions& common) {
  std::vector<Example> examples;
  if (options.input.empty()) {
    examples = read_examples(std::cin, "standard input");
  } else if (is_csv(options.input)) {
    examples = table_inputs(options);
  } else {
    std::istringstream file(read_text_file(options.input));
    examples = read_examples(file, options.input);
  }
  const OpenedAdapter opened = open_adapter_of(options.adapter, common);
  warn_on_drift(opened.file, stderr_log(common));
  Predictor predictor(opened, options.adapter.precision);
  const std::string source = options.input.empty() ? "standard input" : options.input;
  bool failed = false;
  int64_t number = 0;
  for (const Prediction& prediction : predictor.predict(examples)) {
    ++number;
    if (!prediction.error.empty()) {
      failed = true;
      std::cerr << "loraxs: " << source << ": text " << number << ": " << prediction.error << '\n';
    }
    print_prediction(prediction, predictor.labels(), common.json);
  }
  return failed ? 2 : 0;
}

}  // namespace loraxs
