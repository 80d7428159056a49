// Files as GLUE distributes them (https://gluebenchmark.com): train.tsv and dev.tsv with the columns index, question,
// sentence, label; tab-separated, quotes are plain characters.
#include "data/tasks/qnli.h"

#include "data/label_column.h"
#include "io/error.h"

namespace loraxs {

Task load_qnli(Fields& fields, const std::filesystem::path& base) {
  const std::string folder_text = fields.text("data", "");
  if (folder_text.empty()) fields.fail("data", "expected the folder with train.tsv and dev.tsv, found none");
  const std::filesystem::path folder = base / folder_text;
  Task task{.name = "qnli", .labels = {"entailment", "not_entailment"}};
  task.metric = fields.text("metric", "accuracy");
  const ExampleColumns columns{.first = "question", .second = "sentence", .label = "label"};
  task.train = table_examples(read_table(folder / "train.tsv", /*header=*/true), columns, task.labels);
  task.validation = table_examples(read_table(folder / "dev.tsv", /*header=*/true), columns, task.labels);
  return task;
}

}  // namespace loraxs
