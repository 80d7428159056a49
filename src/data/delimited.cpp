#include "data/delimited.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "data/json_records.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/json.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

/// Splits text into lines, without their ends.
template <typename Visit>
void for_each_line(std::string_view text, Visit visit) {
  for (int64_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view content = text.substr(0, end);
    if (content.ends_with('\r')) content.remove_suffix(1);
    visit(content, line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void check_columns(size_t columns, const std::string& where, int64_t line) {
  if (columns <= kMostColumns) return;
  throw Error(concat(where, ":", line, ": expected at most ", kMostColumns, " columns, found more"));
}

std::vector<Table::Row> read_tsv(std::string_view text, const std::string& where) {
  std::vector<Table::Row> rows;
  for_each_line(text, [&](std::string_view content, int64_t line) {
    if (content.empty()) return;
    Table::Row row{.line = line};
    size_t begin = 0;
    while (true) {
      const size_t end = content.find('\t', begin);
      row.cells.emplace_back(content.substr(begin, end - begin));
      check_columns(row.cells.size(), where, line);
      if (end == std::string_view::npos) break;
      begin = end + 1;
    }
    rows.push_back(std::move(row));
  });
  return rows;
}

std::vector<Table::Row> read_csv(std::string_view text, const std::string& where) {
  std::vector<Table::Row> rows;
  int64_t line = 1;
  size_t at = 0;
  while (at < text.size()) {
    Table::Row row{.line = line};
    std::string cell;
    bool quoted = false, was_quoted = false, ended = false;
    while (!ended) {
      if (at == text.size()) {
        if (quoted) throw Error(concat(where, ":", row.line, ": expected a closing quote, found the end of the file"));
        break;
      }
      const char c = text[at++];
      if (c == '\n') ++line;
      if (quoted) {
        if (c != '"') {
          cell += c;
        } else if (at < text.size() && text[at] == '"') {
          cell += '"';
          ++at;
        } else {
          quoted = false;
        }
      } else if (c == '"' && cell.empty() && !was_quoted) {
        quoted = was_quoted = true;
      } else if (c == ',') {
        row.cells.push_back(std::move(cell));
        check_columns(row.cells.size() + 1, where, row.line);
        cell.clear();
        was_quoted = false;
      } else if (c == '\n') {
        ended = true;
      } else if (c != '\r') {
        cell += c;
      }
    }
    const bool empty_line = row.cells.empty() && cell.empty() && !was_quoted;
    row.cells.push_back(std::move(cell));
    if (!empty_line) rows.push_back(std::move(row));
  }
  return rows;
}

CellKind kind_of(const nlohmann::ordered_json& value) {
  if (value.is_string()) return CellKind::kText;
  if (value.is_null()) return CellKind::kNone;
  return value.is_structured() ? CellKind::kStructure : CellKind::kScalar;
}

/// Adds records to a table. Only what a record has takes memory: with a cell for every column, a few records with keys
/// of their own would take the square of the file.
class RecordTable {
 public:
  explicit RecordTable(Table& table) : table_(table) { table.records = true; }

  void add(std::string_view text, const std::string& where, int64_t line) {
    JsonLimits limits = kRecordLimits;
    limits.unique_keys = true;
    const auto object = parse_ordered_json(text, where, limits);
    if (!object.is_object()) throw Error(concat(where, ": expected a JSON object, found ", object.type_name()));
    Table::Row row{.line = line};
    for (const auto& [key, value] : object.items()) {
      const auto [place, fresh] = places_.emplace(key, table_.columns.size());
      if (fresh) table_.columns.push_back(key);
      check_columns(table_.columns.size(), table_.where, line);
      row.places.push_back(place->second);
      row.kinds.push_back(kind_of(value));
      row.cells.push_back(value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump());
    }
    table_.rows.push_back(std::move(row));
  }

 private:
  Table& table_;
  std::unordered_map<std::string, size_t> places_;
};

void check_header(const std::vector<std::string>& columns, const std::string& where, int64_t line) {
  std::unordered_set<std::string> seen;
  for (const std::string& column : columns) {
    if (column.empty() || seen.insert(column).second) continue;  // columns without a name have no use
    throw Error(concat(where, ":", line, ": expected each column once, found \"", column, "\" twice; rename one"));
  }
}

/// A .csv of a spreadsheet that writes semicolons or tabs would be one column of whole rows.
void check_separator(const std::vector<std::string>& columns, const std::string& where, int64_t line) {
  if (columns.size() != 1) return;
  const size_t at = columns.front().find_first_of(";\t");
  if (at == std::string::npos) return;
  const bool tabs = columns.front()[at] == '\t';
  throw Error(concat(where, ":", line, ": expected commas between columns, found ", tabs ? "tabs" : "semicolons",
                     " in \"", shortened(columns.front(), 80), "\"; ",
                     tabs ? "call it .tsv" : "save it with commas, or with tabs as .tsv"));
}

/// A name as it is; with quotes where a blank at its end would not be seen.
std::string shown_name(const std::string& name) {
  const bool hidden = name.starts_with(' ') || name.ends_with(' ');
  return hidden ? "\"" + name + "\"" : name;
}

}  // namespace

std::string Table::column_names() const {
  std::string names;
  for (const std::string& column : columns) names += (names.empty() ? "" : ", ") + shown_name(column);
  return names;
}

size_t Table::column(const std::string& name_or_number, const std::string& key) const {
  const auto found = std::find(columns.begin(), columns.end(), name_or_number);
  if (found != columns.end()) return found - columns.begin();
  const size_t width = rows.empty() || records ? columns.size() : rows.front().cells.size();
  const bool is_number =
      !name_or_number.empty() && std::all_of(name_or_number.begin(), name_or_number.end(), ::isdigit);
  if (is_number && name_or_number.size() < 6) {
    const size_t number = std::stoul(name_or_number);
    if (number >= 1 && number <= width) return number - 1;
  }
  const auto near = nearest_name(name_or_number, columns);
  throw Error(concat(where, ": ", key, ": expected a column name or a number from 1 to ", width, ", found \"",
                     name_or_number, "\"", near ? "; did you mean " + shown_name(*near) + "?" : "",
                     columns.empty() ? "" : "; columns: " + column_names()));
}

const std::string& Table::cell(const Row& row, size_t column) const {
  static const std::string kNone;
  if (!records) return row.cells.at(column);
  const auto found = std::find(row.places.begin(), row.places.end(), column);
  return found == row.places.end() ? kNone : row.cells[found - row.places.begin()];
}

CellKind Table::kind(const Row& row, size_t column) const {
  if (!records) return CellKind::kText;
  const auto found = std::find(row.places.begin(), row.places.end(), column);
  return found == row.places.end() ? CellKind::kNone : row.kinds[found - row.places.begin()];
}

std::string Table::place(const Row& row) const {
  return array ? concat(where, "[", row.line - 1, "]") : concat(where, ":", row.line);
}

Table parse_record(std::string_view text, const std::string& where, int64_t line) {
  Table table{.where = where};
  RecordTable(table).add(text, concat(where, ":", line), line);
  return table;
}

Table read_table(const std::filesystem::path& path, bool header) {
  return parse_table(read_text_file(path), path, header);
}

Table parse_table(std::string_view text, const std::filesystem::path& path, bool header) {
  Table table{.where = path.string()};
  const std::string extension = (path.extension() == ".gz" ? path.stem() : path).extension().string();
  if (extension == ".jsonl" || extension == ".json") {
    RecordTable records(table);
    table.array =
        extension == ".json" && text.substr(std::min(text.size(), text.find_first_not_of(" \t\r\n"))).starts_with('[');
    for_each_record(text, path, [&](std::string_view record, const std::string& where, int64_t number) {
      records.add(record, where, number);
    });
  } else if (extension == ".csv" || extension == ".tsv" || extension == ".txt") {
    check_utf8(text, table.where);
    table.rows = extension == ".csv" ? read_csv(text, table.where) : read_tsv(text, table.where);
    if (header && !table.rows.empty()) {
      table.columns = table.rows.front().cells;
      check_header(table.columns, table.where, table.rows.front().line);
      if (extension == ".csv") check_separator(table.columns, table.where, table.rows.front().line);
      table.rows.erase(table.rows.begin());
    }
  } else {
    throw Error(concat(table.where, ": expected a .tsv, .csv, .jsonl or .json file, found \"", extension, "\""));
  }
  if (table.rows.empty()) throw Error(concat(table.where, ": expected at least one row, found none"));
  if (table.records) return table;  // records have the keys they have
  const size_t width = table.columns.empty() ? table.rows.front().cells.size() : table.columns.size();
  for (const Table::Row& row : table.rows) {
    if (row.cells.size() != width) {
      throw Error(concat(table.where, ":", row.line, ": expected ", width, " columns, found ", row.cells.size()));
    }
  }
  return table;
}

}  // namespace loraxs
