#include "data/tasks/classification.h"

#include "data/held_out.h"
#include "data/label_column.h"
#include "io/error.h"

namespace loraxs {
namespace {

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
  const ValidationSource validation = read_validation(fields, !train.empty());
  if (train.empty() && validation.file.empty())
    fields.fail("train", "expected a .tsv, .csv, .jsonl or .json file, found none");
  if (!regression) task.labels = fields.strings("labels", {});
  const auto read = [&](const std::string& file) -> std::vector<Example> {
    if (leaves_empty(base / file, missing)) {
      if (!regression && task.labels.empty())
        fields.fail("labels", concat("expected the labels while ", file, " is absent, found none"));
      return {};
    }
    const Table table = read_table(base / file, header);
    const std::string where_to_say = fields.where() == "command line" ? "--" : "task.";
    const ExampleColumns columns = choose_columns(table, said, /*labelled=*/true, where_to_say);
    if (!regression && task.labels.empty()) task.labels = distinct_labels(table, columns.label);
    if (!regression && task.labels.size() < 2) {
      fields.fail("labels", concat("expected at least two distinct labels, found ", task.labels.size(), " in ", file));
    }
    return table_examples(table, columns, task.labels);
  };
  if (!train.empty()) task.train = read(train);
  if (!validation.file.empty()) task.validation = read(validation.file);
  hold_out(task, validation.part, fields);
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
