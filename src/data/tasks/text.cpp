#include "data/tasks/text.h"

#include "data/held_out.h"
#include "data/json_records.h"
#include "io/error.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

std::vector<Example> read_texts(const std::filesystem::path& path, OnError on_error, int64_t& num_skipped) {
  const std::string extension = text_extension(path);
  if (extension == ".jsonl" || extension == ".json") {
    return read_examples(path, on_error, num_skipped,
                         [](const nlohmann::ordered_json& record, const std::string& where) {
                           return Example{.second = record_text(record, "text", where)};
                         });
  }
  std::string text = read_text_file(path);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error(concat(path.string(), ": expected a text, found an empty file"));
  }
  check_utf8(text, path.string());
  return {{.second = std::move(text)}};
}

Task empty_text() {
  Task task{.name = "text", .kind = TaskKind::kLanguageModel, .metric = "loss"};
  task.train_on = TrainOn::kAll;
  task.windows = true;
  return task;
}

}  // namespace

Task load_text(Fields& fields, const std::filesystem::path& base, MissingFiles missing) {
  const std::string train = fields.text("train", "");
  const ValidationSource validation = read_validation(fields, !train.empty());
  if (train.empty() && validation.file.empty())
    fields.fail("train", "expected a .txt, .jsonl or .json file, found none");
  double fraction = fields.fraction("validation_fraction", 0);
  const OnError on_error = read_on_error(fields);
  Task task = empty_text();
  const auto read = [&](const std::string& file, MissingFiles absent) {
    if (file.empty() || leaves_empty(base / file, absent)) return std::vector<Example>();
    return read_texts(base / file, on_error, task.num_skipped);
  };
  task.train = read(train, missing);
  task.validation = read(validation.file, beside_train(task, missing));
  if (task.train.size() == 1 && validation.part > 0) {
    fraction = validation.part;  // one text is cut
  } else {
    hold_out(task, validation.part, fields);
  }
  if (fraction > 0 && !leaves_empty(base / train, missing)) {
    if (!validation.file.empty() || task.train.size() != 1) {
      fields.fail("validation_fraction", "expected one train text and no validation file");
    }
    std::string text = task.train.front().second.value_or("");
    const auto at = static_cast<size_t>(static_cast<double>(text.size()) * (1 - fraction));
    const size_t line = at == 0 ? std::string::npos : text.find('\n', at - 1);
    if (line == std::string::npos || line + 1 == text.size()) {
      fields.fail("validation_fraction", "expected a part of the text with a line's start, found none");
    }
    task.validation.push_back({.second = text.substr(line + 1)});
    text.resize(line + 1);
    task.train.front().second = text;
  }
  return task;
}

Task text_of(const nlohmann::ordered_json& records, Fields& fields, const std::string& where) {
  const ValidationSource validation = read_validation(fields, /*has_train=*/true);
  Task task = empty_text();
  task.train.reserve(records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    task.train.push_back({.second = record_text(records[i], "text", concat(where, "[", i, "]"))});
  }
  hold_out(task, validation.part, fields);
  return task;
}

}  // namespace loraxs
