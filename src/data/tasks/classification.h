// data/tasks/classification.h: one's own classification or regression data from TSV, CSV or JSONL files.
#pragma once
#include "data/delimited.h"
#include "data/task.h"

namespace loraxs {

Task load_classification(Fields& fields, const std::filesystem::path& base, MissingFiles missing);
Task load_regression(Fields& fields, const std::filesystem::path& base, MissingFiles missing);
/// The same of a table, from which `validation` may hold out a part. Without `labels` they are the table's.
Task classification_of(const Table& table, Fields& fields);
Task regression_of(const Table& table, Fields& fields);

}  // namespace loraxs
