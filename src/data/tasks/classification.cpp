#include "data/tasks/classification.h"

#include "data/held_out.h"
#include "data/label_column.h"
#include "io/error.h"

namespace loraxs {
namespace {

/// A section's keys beside its files, and what its tables have become so far.
class OwnTask {
 public:
  OwnTask(Fields& fields, bool regression) : fields_(fields) {
    task.name = regression ? "regression" : "classification";
    task.kind = regression ? TaskKind::kRegression : TaskKind::kClassification;
    said_ = {.text = column("text"), .text_pair = column("text_pair"), .label = column("label")};
    if (!regression) task.labels = fields.strings("labels", {});
    if (const std::string* twice = repeated_label(task.labels); twice != nullptr) {
      fields.fail("labels", concat("expected each label once, found \"", *twice, "\" twice"));
    }
    task.metric = fields.text("metric", regression ? "pearson" : "accuracy");
  }

  /// `file` is what an error calls the table.
  std::vector<Example> read(const Table& table, const std::string& file) {
    const std::string where_to_say = fields_.where() == "command line" ? "--" : "task.";
    const ExampleColumns columns = choose_columns(table, said_, /*labelled=*/true, where_to_say);
    if (needs_labels()) task.labels = distinct_labels(table, columns.label);
    if (!task.regression() && task.labels.size() < 2) {
      fields_.fail("labels", concat("expected at least two distinct labels, found ", task.labels.size(), " in ", file));
    }
    return table_examples(table, columns, task.labels);
  }

  bool needs_labels() const { return !task.regression() && task.labels.empty(); }

  Task task;

 private:
  std::string column(const std::string& key) {
    if (!fields_.has(key)) return "";
    const nlohmann::json value = fields_.raw(key);
    return value.is_string() ? value.get<std::string>() : value.dump();
  }

  Fields& fields_;
  ColumnNames said_;
};

Task load_own(Fields& fields, const std::filesystem::path& base, bool regression, MissingFiles missing) {
  const bool header = fields.boolean("header", true);
  const std::string train = fields.text("train", "");
  const ValidationSource validation = read_validation(fields, !train.empty());
  if (train.empty() && validation.file.empty())
    fields.fail("train", "expected a .tsv, .csv, .jsonl or .json file, found none");
  OwnTask own(fields, regression);
  const auto read = [&](const std::string& file, MissingFiles absent) -> std::vector<Example> {
    if (leaves_empty(base / file, absent)) {
      if (own.needs_labels())
        fields.fail("labels", concat("expected the labels while ", file, " is absent, found none"));
      return {};
    }
    return own.read(read_table(base / file, header), file);
  };
  if (!train.empty()) own.task.train = read(train, missing);
  if (!validation.file.empty()) own.task.validation = read(validation.file, beside_train(own.task, missing));
  hold_out(own.task, validation.part, fields);
  return std::move(own.task);
}

Task own_of(const Table& table, Fields& fields, bool regression) {
  const ValidationSource validation = read_validation(fields, /*has_train=*/true);
  OwnTask own(fields, regression);
  own.task.train = own.read(table, table.where);
  hold_out(own.task, validation.part, fields);
  return std::move(own.task);
}

}  // namespace

Task load_classification(Fields& fields, const std::filesystem::path& base, MissingFiles missing) {
  return load_own(fields, base, false, missing);
}
Task load_regression(Fields& fields, const std::filesystem::path& base, MissingFiles missing) {
  return load_own(fields, base, true, missing);
}
Task classification_of(const Table& table, Fields& fields) { return own_of(table, fields, false); }
Task regression_of(const Table& table, Fields& fields) { return own_of(table, fields, true); }

}  // namespace loraxs
