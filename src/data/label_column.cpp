#include "data/label_column.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <unordered_map>

#include "io/error.h"
#include "io/fields.h"
#include "io/printable.h"

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

constexpr const char* kUnlabelled = "-1";
constexpr const char* kUnlabelledHint =
    ", which GLUE's files write for unlabelled; leave the row out, or list it among the task's labels";

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
                     cell == kUnlabelled ? kUnlabelledHint
                     : near              ? "; did you mean " + *near + "?"
                                         : ""));
}

/// The cell of a label, which is there and no list.
const std::string& label_cell(const Table& table, const Table::Row& row, size_t column) {
  const std::string& cell = table.cell(row, column);
  if (table.kind(row, column) == CellKind::kStructure) {
    throw Error(concat(table.place(row), ": label: expected one label, found ", shortened(cell, 40),
                       "; texts of several labels are no classification here"));
  }
  if (cell.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error(concat(table.place(row), ": label: expected a label, found an empty one; leave the row out"));
  }
  return cell;
}

bool has_column(const Table& table, const std::string& name) {
  return std::find(table.columns.begin(), table.columns.end(), name) != table.columns.end();
}

}  // namespace

ExampleColumns choose_columns(const Table& table, const ColumnNames& said, bool labelled,
                              const std::string& where_to_say) {
  // As GLUE's tasks call their texts; a table that has both of a pair is one of pairs.
  static const std::vector<std::pair<const char*, const char*>> kUsual = {{"text", "text_pair"},
                                                                          {"text", ""},
                                                                          {"sentence1", "sentence2"},
                                                                          {"question", "sentence"},
                                                                          {"question1", "question2"},
                                                                          {"premise", "hypothesis"},
                                                                          {"sentence", ""}};
  const bool header = !table.columns.empty();
  ExampleColumns columns{.first = said.text, .second = said.text_pair};
  if (labelled) columns.label = !said.label.empty() ? said.label : header ? "label" : "2";
  if (columns.first.empty() && !header) columns.first = "1";
  for (const auto& [first, second] : kUsual) {
    if (!columns.first.empty()) break;
    if (!has_column(table, first) || (*second != '\0' && !has_column(table, second))) continue;
    columns.first = first;
    if (columns.second.empty()) columns.second = second;
  }
  const bool alone = table.columns.size() == 1 && table.columns.front() != "label" && table.columns.front() != "id";
  if (columns.first.empty() && alone) columns.first = table.columns.front();
  if (columns.first.empty()) {
    throw Error(concat(table.where, ": expected to know the column of texts, found the columns ",
                       shortened(table.column_names(), 200), "; say it with ", where_to_say, "text"));
  }
  const std::string& label = said.label.empty() ? columns.label : said.label;
  for (const std::string& text : {columns.first, columns.second}) {
    if (text.empty()) continue;
    const size_t column = table.column(text, "text");
    if (label.empty() || column != table.column(label, "label")) continue;
    throw Error(
        concat(table.where, ": ", where_to_say, "text: expected another column than that of labels, found ", text));
  }
  return columns;
}

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
    const std::string where = table.place(row);
    const auto text = [&](size_t column, const char* key) -> const std::string& {
      const std::string& cell = table.cell(row, column);
      if (table.kind(row, column) == CellKind::kStructure) {
        throw Error(concat(where, ": ", key, ": expected a text, found ", shortened(cell, 40)));
      }
      if (cell.find_first_not_of(" \t\r\n") == std::string::npos) {
        throw Error(concat(where, ": ", key, ": expected a sentence, found an empty one"));
      }
      return cell;
    };
    Example example{.first = text(first, "text")};
    if (!columns.second.empty()) example.second = text(second, "text_pair");
    if (!columns.label.empty()) example.target = target_of(label_cell(table, row, label), labels, places, where);
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<std::string> distinct_labels(const Table& table, const std::string& label_column) {
  const size_t column = table.column(label_column, "label");
  std::set<std::string> values;
  const Table::Row* unlabelled = nullptr;
  for (const Table::Row& row : table.rows) {
    const std::string& cell = label_cell(table, row, column);
    if (!values.insert(cell).second) continue;
    check_class(cell, table.place(row));
    if (cell == kUnlabelled) unlabelled = &row;
  }
  if (unlabelled != nullptr && (values.size() == 1 || values.contains("0"))) {
    throw Error(concat(table.place(*unlabelled), ": label: expected a class, found \"-1\"", kUnlabelledHint));
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
