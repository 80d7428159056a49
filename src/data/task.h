// data/task.h: a task is where its examples come from, what its labels are called and how it is scored.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/example.h"
#include "io/fields.h"

namespace loraxs {

enum class TaskKind { kClassification, kRegression, kLanguageModel };

/// Which tokens of a language example count in the loss: every answer of a conversation, all tokens, the last answer.
enum class TrainOn { kAnswers, kAll, kLast };

struct Task {
  std::string name;  // "qnli"
  TaskKind kind = TaskKind::kClassification;
  std::vector<std::string> labels;  // class names in index order; only classification has any
  std::string metric;               // "accuracy", "f1", "matthews", "pearson", "spearman": see eval/metrics.h; "loss"
  std::vector<Example> train;       // in file order
  std::vector<Example> validation;  // empty if the task has none
  TrainOn train_on = TrainOn::kAnswers;  // language models
  bool windows = false;                  // language models: texts end to end, cut every max_length tokens
  int64_t num_skipped = 0;               // damaged records, where `on_error: skip` asks for it
  int64_t official_train = 0, official_validation = 0;  // rows as published; 0 where nobody published any
  bool regression() const { return kind == TaskKind::kRegression; }
  bool language_model() const { return kind == TaskKind::kLanguageModel; }
  int64_t num_outputs() const { return regression() ? 1 : static_cast<int64_t>(labels.size()); }
};

enum class MissingFiles { kError, kLeaveEmpty };
/// What of a task's folder is read: who scores alone opens no training data.
enum class Splits { kAll, kValidation };
/// True where a file is not there and need not be.
bool leaves_empty(const std::filesystem::path& path, MissingFiles missing);
/// Of a validation file: where the training data are there, it must be there too.
MissingFiles beside_train(const Task& task, MissingFiles missing);

/// Reads the `task:` section of a recipe and its files. A GLUE task (`name: qnli`) with `data: FOLDER` (files as
/// distributed), or
/// `name: classification | regression` with `train`, `validation` (TSV, CSV, JSONL by extension), `text` / `text_pair`
/// / `label` (column names or numbers), `labels` (else the sorted distinct labels of train), `metric`. Language
/// models: the tasks of tasks/records.h, `chat` and `text`. But in GLUE's tasks `validation` may be the part of `train`
/// to hold out (0.2, see data/held_out.h). Relative paths are relative to `base`; `max_train_examples` and
/// `max_validation_examples` keep the first of each. kLeaveEmpty: files that are not there leave no examples (own
/// classification data must then name its `labels`; validation data beside training data that are there must be too).
/// kValidation: of a folder `data` the training data stay closed. Throws Error with file and line.
Task load_task(Fields& fields, const std::filesystem::path& base, MissingFiles missing = MissingFiles::kError,
               Splits splits = Splits::kAll);

/// The task of records that stand in `examples`, a list as in a .json file: of classification, regression, chat and
/// text; of its keys those without files, `validation` a part to hold out. `where` begins their errors:
/// "users.jsonl:12: examples". Throws Error.
Task task_of_examples(Fields& fields, const nlohmann::ordered_json& examples, const std::string& where);

/// The known name that `name` spells ("STS-B", "sts_b" and "stsb" are one task, ARC-e is arc_easy); empty: none.
std::string known_task(const std::string& name);
/// Whether a task of this name is for language models; names as load_task takes them.
bool is_language_task(const std::string& name);

/// Known task names, GLUE's first.
std::vector<std::string> task_names();

}  // namespace loraxs
