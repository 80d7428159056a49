#include "data/label_column.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <unordered_map>

#include "io/error.h"
#include "io/fields.h"

namespace loraxs {
namespace {

enum class NumberKind { kNone, kUsable, kBeyond };
struct ReadNumber {
  NumberKind kind = NumberKind::kNone;
  double value = 0;
};

/// kBeyond: written as a number, but not finite or so small that float64 has no digits for it (1e-320).
ReadNumber read_number(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  if (text.starts_with('+')) text.remove_prefix(1);
  ReadNumber number;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number.value);
  if (text.empty() || end != text.data() + text.size() || code == std::errc::invalid_argument) return number;
  const int kind = std::fpclassify(number.value);
  const bool usable = code == std::errc() && (kind == FP_NORMAL || kind == FP_ZERO);
  number.kind = usable ? NumberKind::kUsable : NumberKind::kBeyond;
  return number;
}

/// A class that its column names: something to print, and no number that tables write for a missing one.
void check_class(const std::string& cell, const std::string& where) {
  if (std::any_of(cell.begin(), cell.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; })) {
    throw Error(concat(where, ": label: expected a text without control characters, found \"", cell, "\""));
  }
  if (read_number(cell).kind == NumberKind::kBeyond) {
    throw Error(concat(where, ": label: expected a class, or a number within float64, found \"", cell, "\""));
  }
}

/// `places`: of each label in `labels`; a search for every row would grow with the square of a file of classes.
double target_of(const std::string& cell, const std::vector<std::string>& labels,
                 const std::unordered_map<std::string_view, size_t>& places, const std::string& where) {
  if (labels.empty()) {
    const ReadNumber score = read_number(cell);
    if (score.kind == NumberKind::kUsable) return score.value;
    throw Error(concat(where, ": label: expected a number, found \"", cell, "\""));
  }
  if (const auto found = places.find(cell); found != places.end()) return static_cast<double>(found->second);
  std::string known;
  for (const std::string& label : labels) known += (known.empty() ? "" : ", ") + label;
  const auto near = nearest_name(cell, labels);
  throw Error(concat(where, ": label: expected one of ", known, ", found \"", cell, "\"",
                     near ? "; did you mean " + *near + "?" : ""));
}

}  // namespace

std::vector<Example> table_examples(const Table& table, const ExampleColumns& columns,
                                    const std::vector<std::string>& labels) {
  const size_t first = table.column(columns.first, "text");
  const size_t second = columns.second.empty() ? 0 : table.column(columns.second, "text_pair");
  const size_t label = columns.label.empty() ? 0 : table.column(columns.label, "label");
  std::unordered_map<std::string_view, size_t> places;
  for (size_t i = 0; i < labels.size(); ++i) places.emplace(labels[i], i);
  std::vector<Example> examples;
  examples.reserve(table.rows.size());
  for (const Table::Row& row : table.rows) {
    const std::string where = concat(table.where, ":", row.line);
    const auto text = [&](size_t column, const char* key) -> const std::string& {
      const std::string& cell = table.cell(row, column);
      if (cell.find_first_not_of(" \t\r\n") == std::string::npos) {
        throw Error(concat(where, ": ", key, ": expected a sentence, found an empty one"));
      }
      return cell;
    };
    Example example{.first = text(first, "text")};
    if (!columns.second.empty()) example.second = text(second, "text_pair");
    if (!columns.label.empty()) example.target = target_of(table.cell(row, label), labels, places, where);
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<std::string> distinct_labels(const Table& table, const std::string& label_column) {
  const size_t column = table.column(label_column, "label");
  std::set<std::string> values;
  for (const Table::Row& row : table.rows) {
    const std::string& cell = table.cell(row, column);
    if (values.insert(cell).second) check_class(cell, concat(table.where, ":", row.line));
  }
  std::vector<std::string> labels(values.begin(), values.end());
  const bool numeric = std::all_of(labels.begin(), labels.end(), [](const std::string& label) {
    return read_number(label).kind == NumberKind::kUsable;
  });
  if (numeric)
    std::sort(labels.begin(), labels.end(),
              [](const auto& x, const auto& y) { return read_number(x).value < read_number(y).value; });
  return labels;
}

}  // namespace loraxs
