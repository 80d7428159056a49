// data/label_column.h: labels of a table's rows as indices or scores, with errors that name the line.
#pragma once
#include <string>
#include <vector>

#include "data/delimited.h"
#include "data/example.h"

namespace loraxs {

/// Where a task's texts and labels stand in a table. No label column: unlabelled examples.
struct ExampleColumns {
  std::string first;
  std::string second;  // empty: single texts
  std::string label;   // empty: none
};

/// Rows as examples; `labels` empty: the label is a number (regression). Throws Error with file and line for an empty
/// text, an unknown label (known ones listed), a score that is no number.
std::vector<Example> table_examples(const Table& table, const ExampleColumns& columns,
                                    const std::vector<std::string>& labels);

/// Sorted distinct values of a column; numbers sort as numbers.
std::vector<std::string> distinct_labels(const Table& table, const std::string& label_column);

}  // namespace loraxs
