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

/// What someone says of a table's columns, by name or number; empty: nothing.
struct ColumnNames {
  std::string text, text_pair, label;
};

/// The columns of texts, and of labels where `labelled`: as said, else `text` (and `text_pair`), a pair of names that
/// GLUE's files use, or a table's only other column; and `label`. Without a header the first column is the text and the
/// second the label. Throws Error naming the columns and the key (`where_to_say` + "text": "--text") where that is
/// unclear, and for a text column that is the label's.
ExampleColumns choose_columns(const Table& table, const ColumnNames& said, bool labelled,
                              const std::string& where_to_say);

/// Rows as examples; `labels` empty: the label is a number (regression). Throws Error with file and line for an empty
/// text, a list in place of a text or label, an absent or unknown label (known ones listed), a score that is no number.
std::vector<Example> table_examples(const Table& table, const ExampleColumns& columns,
                                    const std::vector<std::string>& labels);

/// Sorted distinct values of a column; numbers sort as numbers. Throws Error with file and line for an absent label,
/// for -1 beside 0 or alone, which GLUE's files write for "unlabelled", and for two that differ in blanks around them,
/// in case, or as numbers are written: one class in two spellings.
std::vector<std::string> distinct_labels(const Table& table, const std::string& label_column);

/// A label that stands twice, or null: two classes of one name cannot be told apart.
const std::string* repeated_label(const std::vector<std::string>& labels);

}  // namespace loraxs
