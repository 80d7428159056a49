#include "data/label_column.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "io/error.h"
#include "io/fields.h"

namespace loraxs {
namespace {

bool as_number(const std::string& text, double& number) {
  char* end = nullptr;
  number = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' && std::isfinite(number);
}

double target_of(const std::string& cell, const std::vector<std::string>& labels, const std::string& where) {
  if (labels.empty()) {
    double score = 0;
    if (!as_number(cell, score)) throw Error(concat(where, ": label: expected a number, found \"", cell, "\""));
    return score;
  }
  const auto found = std::find(labels.begin(), labels.end(), cell);
  if (found != labels.end()) return static_cast<double>(found - labels.begin());
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
  std::vector<Example> examples;
  examples.reserve(table.rows.size());
  for (const Table::Row& row : table.rows) {
    const std::string where = concat(table.where, ":", row.line);
    const auto text = [&](size_t column, const char* key) -> const std::string& {
      const std::string& cell = row.cells[column];
      if (cell.find_first_not_of(" \t\r\n") == std::string::npos) {
        throw Error(concat(where, ": ", key, ": expected a sentence, found an empty one"));
      }
      return cell;
    };
    Example example{.first = text(first, "text")};
    if (!columns.second.empty()) example.second = text(second, "text_pair");
    if (!columns.label.empty()) example.target = target_of(row.cells[label], labels, where);
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<std::string> distinct_labels(const Table& table, const std::string& label_column) {
  const size_t column = table.column(label_column, "label");
  std::set<std::string> values;
  for (const Table::Row& row : table.rows) values.insert(row.cells[column]);
  std::vector<std::string> labels(values.begin(), values.end());
  const bool numeric = std::all_of(labels.begin(), labels.end(), [](const std::string& label) {
    double number = 0;
    return as_number(label, number);
  });
  if (numeric)
    std::sort(labels.begin(), labels.end(), [](const auto& x, const auto& y) { return std::stod(x) < std::stod(y); });
  return labels;
}

}  // namespace loraxs
