#include "data/tasks/classification.h"

#include <cmath>

#include "data/label_column.h"
#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

/// Moves a part of the training examples to validation: the same ones in every run, both parts in file order.
void hold_out(Task& task, double part) {
  const auto size = static_cast<int64_t>(task.train.size());
  const auto held = static_cast<int64_t>(std::ceil(part * static_cast<double>(size)));
  std::vector<bool> validates(task.train.size());
  const std::vector<int64_t> order = permutation(size, derive_seed(0, "hold out"));
  for (int64_t i = 0; i < held; ++i) validates[order[i]] = true;
  std::vector<Example> train;
  for (size_t i = 0; i < task.train.size(); ++i) {
    (validates[i] ? task.validation : train).push_back(std::move(task.train[i]));
  }
  task.train = std::move(train);
}

Task load_own(Fields& fields, const std::filesystem::path& base, bool regression, MissingFiles missing) {
  Task task{.name = regression ? "regression" : "classification",
            .kind = regression ? TaskKind::kRegression : TaskKind::kClassification};
  const bool header = fields.boolean("header", true);
  const auto column = [&](const std::string& key) -> std::string {
    if (!fields.has(key)) return "";
    const nlohmann::json value = fields.raw(key);
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  const ColumnNames said{.text = column("text"), .text_pair = column("text_pair"), .label = column("label")};
  const std::string train = fields.text("train", "");
  std::string validation;
  double held_out = 0;
  if (fields.has("validation")) {
    const nlohmann::json value = fields.raw("validation");
    if (value.is_string()) {
      validation = value.get<std::string>();
    } else if (value.is_number() && value.get<double>() >= 0 && value.get<double>() < 1 && !train.empty()) {
      held_out = value.get<double>();
    } else {
      fields.fail("validation", concat("expected a file, or the part of train that is held out (0 to below 1), found ",
                                       value.dump()));
    }
  }
  if (train.empty() && validation.empty())
    fields.fail("train", "expected a .tsv, .csv, .jsonl or .json file, found none");
  if (!regression) task.labels = fields.strings("labels", {});
  const auto read = [&](const std::string& file) -> std::vector<Example> {
    if (leaves_empty(base / file, missing)) {
      if (!regression && task.labels.empty())
        fields.fail("labels", concat("expected the labels while ", file, " is absent, found none"));
      return {};
    }
    const Table table = read_table(base / file, header);
    const ExampleColumns columns = choose_columns(table, said, /*labelled=*/true, "task.");
    if (!regression && task.labels.empty()) task.labels = distinct_labels(table, columns.label);
    if (!regression && task.labels.size() < 2) {
      fields.fail("labels", concat("expected at least two distinct labels, found ", task.labels.size(), " in ", file));
    }
    return table_examples(table, columns, task.labels);
  };
  if (!train.empty()) task.train = read(train);
  if (!validation.empty()) task.validation = read(validation);
  if (held_out > 0) hold_out(task, held_out);
  task.metric = fields.text("metric", regression ? "pearson" : "accuracy");
  return task;
}

}  // namespace

Task load_classification(Fields& fields, const std::filesystem::path& base, MissingFiles missing) {
  return load_own(fields, base, false, missing);
}
Task load_regression(Fields& fields, const std::filesystem::path& base, MissingFiles missing) {
  return load_own(fields, base, true, missing);
}

}  // namespace loraxs
