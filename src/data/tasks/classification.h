// data/tasks/classification.h: one's own classification or regression data from TSV, CSV or JSONL files.
#pragma once
#include "data/task.h"

namespace loraxs {

Task load_classification(Fields& fields, const std::filesystem::path& base, MissingFiles missing);
Task load_regression(Fields& fields, const std::filesystem::path& base, MissingFiles missing);

}  // namespace loraxs
