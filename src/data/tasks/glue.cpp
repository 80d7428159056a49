// Files as GLUE distributes them (https://gluebenchmark.com): tab-separated, quotes are plain characters. The metrics
// are those of the paper's Table 1.
#include "data/tasks/glue.h"

#include <algorithm>
#include <array>

#include "data/label_column.h"
#include "io/error.h"

namespace loraxs {
namespace {

struct GlueTask {
  const char* name;
  const char* first;   // column of the text, by name or number
  const char* second;  // of the second one; "" = single texts
  const char* label;
  std::vector<std::string> cells;   // what the label column holds, in index order; empty = a score
  std::vector<std::string> labels;  // what the classes are called, if not so
  const char* metric;
  int64_t official_train, official_validation;  // rows as published
  const char* validation = "dev";
  bool header = true;
};

const std::array<GlueTask, 7>& glue_tasks() {
  const std::vector<std::string> binary = {"0", "1"}, entails = {"entailment", "not_entailment"};
  static const std::array<GlueTask, 7> tasks = {{
      {"cola", "4", "", "2", binary, {"unacceptable", "acceptable"}, "matthews", 8551, 1043, "dev", /*header=*/false},
      {"mnli",
       "sentence1",
       "sentence2",
       "gold_label",
       {"entailment", "neutral", "contradiction"},
       {},
       "accuracy",
       392702,
       9815,
       "dev_matched"},
      {"mrpc", "#1 String", "#2 String", "Quality", binary, {"not_equivalent", "equivalent"}, "accuracy", 3668, 408},
      {"qnli", "question", "sentence", "label", entails, {}, "accuracy", 104743, 5463},
      {"rte", "sentence1", "sentence2", "label", entails, {}, "accuracy", 2490, 277},
      {"sst2", "sentence", "", "label", binary, {"negative", "positive"}, "accuracy", 67349, 872},
      {"stsb", "sentence1", "sentence2", "score", {}, {}, "pearson", 5749, 1500},
  }};
  return tasks;
}

std::filesystem::path split_file(const std::filesystem::path& folder, const std::string& split) {
  std::filesystem::path path = folder / (split + ".tsv");
  if (std::filesystem::exists(path)) return path;
  const std::filesystem::path packed = path.string() + ".gz";
  return std::filesystem::exists(packed) ? packed : path;
}

}  // namespace

std::span<const char* const> glue_names() {
  static const auto names = [] {
    std::array<const char*, 7> all{};
    std::transform(glue_tasks().begin(), glue_tasks().end(), all.begin(), [](const GlueTask& t) { return t.name; });
    return all;
  }();
  return names;
}

Task load_glue(const std::string& name, Fields& fields, const std::filesystem::path& base, MissingFiles missing,
               Splits splits) {
  const GlueTask& glue =
      *std::find_if(glue_tasks().begin(), glue_tasks().end(), [&](const GlueTask& t) { return name == t.name; });
  const std::string folder_text = fields.text("data", "");
  if (folder_text.empty()) {
    fields.fail("data", concat("expected the folder with train.tsv and ", glue.validation, ".tsv, found none"));
  }
  const std::filesystem::path folder = base / folder_text;
  Task task{.name = name,
            .kind = glue.cells.empty() ? TaskKind::kRegression : TaskKind::kClassification,
            .labels = glue.labels.empty() ? glue.cells : glue.labels};
  task.metric = fields.text("metric", glue.metric);
  const ExampleColumns columns{.first = glue.first, .second = glue.second, .label = glue.label};
  task.official_train = glue.official_train;
  task.official_validation = glue.official_validation;
  const auto read = [&](const std::string& split) -> std::vector<Example> {
    if (leaves_empty(split_file(folder, split), missing)) return {};
    return table_examples(read_table(split_file(folder, split), glue.header), columns, glue.cells);
  };
  if (splits == Splits::kAll) task.train = read("train");
  task.validation = read(glue.validation);
  return task;
}

}  // namespace loraxs
