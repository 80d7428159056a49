// commands/data_survey.h: what a file of one's own data holds, as far as a recipe needs to know.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "data/task.h"

namespace loraxs {

/// Columns that a command line names; empty: to be found out.
struct NamedColumns {
  std::string text, text_pair, label;
};

/// A table of labelled texts.
struct TableSurvey {
  std::vector<std::string> columns;                     // as the header has them
  int64_t rows = 0;                                     // records
  NamedColumns chosen;                                  // text_pair is empty where texts stand alone
  TaskKind kind = TaskKind::kClassification;            // regression where labels are numbers that measure
  std::vector<std::pair<std::string, int64_t>> labels;  // of classes, in index order, with their counts
};

/// Reads a .csv, .tsv or .jsonl with a header. Columns that are not named are taken by the names people give them
/// (text, sentence1 and sentence2, label, …), or where one column alone can be meant; else Error lists them. Throws
/// Error for a label column that holds one value alone, or nearly one for each row.
TableSurvey survey_table(const std::filesystem::path& path, const NamedColumns& named);

/// The language task whose records a .jsonl or .json file holds, by the keys of its first record, or that of a .txt.
/// Throws Error listing the keys where no task reads them.
struct RecordSurvey {
  std::string task;               // chat, instructions, gsm8k, …, text
  std::vector<std::string> keys;  // of the first record
  int64_t records = 0;
};
RecordSurvey survey_records(const std::filesystem::path& path);

}  // namespace loraxs
