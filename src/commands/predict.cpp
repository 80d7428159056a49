#include "cli/subcommands/predict.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "api/classifier.h"
#include "api/predictor.h"
#include "commands/session.h"
#include "data/prediction_input.h"
#include "io/json.h"
#include "io/printable.h"

namespace loraxs {
namespace {

constexpr std::array<std::string_view, 4> kResultNames = {"label", "scores", "score", "error"};

/// A line per text, with the columns that stood beside it in JSON; one without a prediction has its "error", or is
/// empty.
void print_prediction(const Prediction& prediction, const std::vector<std::string>& labels,
                      const nlohmann::ordered_json& beside, bool json) {
  if (!json) {
    if (prediction.error.empty()) {
      if (!labels.empty()) std::cout << prediction.label << '\t';
      std::cout << prediction.score;
    }
    std::cout << '\n';
    return;
  }
  nlohmann::ordered_json::object_t line;  // appended without a search: names are distinct
  for (const auto& [key, value] : beside.items()) {
    if (std::find(kResultNames.begin(), kResultNames.end(), key) == kResultNames.end()) line.emplace_back(key, value);
  }
  if (!prediction.error.empty()) {
    line.emplace_back("error", prediction.error);
  } else if (labels.empty()) {
    line.emplace_back("score", prediction.score);
  } else {
    nlohmann::ordered_json scores = nlohmann::ordered_json::object();
    for (size_t k = 0; k < labels.size(); ++k) scores[labels[k]] = prediction.scores[k];
    line.emplace_back("label", prediction.label);
    line.emplace_back("scores", std::move(scores));
  }
  std::cout << json_text(nlohmann::ordered_json(std::move(line))) << '\n';
}

}  // namespace

int run(const PredictOptions& options, const CommonOptions& common) {
  const ColumnNames said{.text = options.text, .text_pair = options.text_pair, .label = options.label};
  const std::string source = options.input.empty() ? "standard input" : options.input;
  const PredictionInput input =
      options.input.empty()
          ? parse_prediction_lines(std::string(std::istreambuf_iterator<char>(std::cin), {}), source, said)
          : read_prediction_input(options.input, said);
  const OpenedAdapter opened =
      options.adapter.adapter.empty()
          ? open_classifier(options.adapter.model, open_options_of(options.adapter), settings_of(common))
          : open_adapter_of(options.adapter, common);
  warn_on_drift(opened.file, stderr_log(common));
  Predictor predictor(opened, options.adapter.precision);
  bool failed = false;
  int64_t number = 0;
  for (const Prediction& prediction : predictor.predict(input.examples)) {
    const nlohmann::ordered_json& beside = input.beside[number++];
    if (!prediction.error.empty()) {
      failed = true;
      std::cerr << "loraxs: " << safe_message(concat(source, ": text ", number, ": ", prediction.error)) << '\n';
    }
    print_prediction(prediction, predictor.labels(), beside, common.json);
  }
  return failed ? 2 : 0;
}

}  // namespace loraxs
