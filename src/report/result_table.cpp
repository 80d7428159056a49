#include "report/result_table.h"

#include <cmath>
#include <cstdio>

#include "report/page.h"

namespace loraxs {
namespace {

std::string exact_number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.10g", value);
  return text;
}

/// Whole numbers as they are, others with four digits.
std::string readable_number(double value) {
  constexpr double kWhole = 1e15;
  return value == std::floor(value) && std::abs(value) < kWhole ? exact_number(value) : short_number(value);
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) {
    return text;
  }
  std::string quoted = "\"";
  for (const char c : text) {
    quoted += c == '"' ? "\"\"" : std::string(1, c);
  }
  return quoted + "\"";
}

std::vector<std::string> shown_row(const std::vector<ResultCell>& row) {
  std::vector<std::string> cells;
  cells.reserve(row.size());
  for (const ResultCell& cell : row) {
    cells.push_back(shown_cell(cell));
  }
  return cells;
}

std::vector<std::string> names_of(const ResultTable& table) {
  std::vector<std::string> names;
  names.reserve(table.columns.size());
  for (const ResultColumn& column : table.columns) {
    names.push_back(column.name);
  }
  return names;
}

}  // namespace

std::string shown_cell(const ResultCell& cell) {
  if (!cell.value) {
    return cell.text;
  }
  if (!cell.error) {
    return readable_number(*cell.value);
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.2g", *cell.error);
  return readable_number(*cell.value) + " ± " + text;
}

std::string table_csv(const ResultTable& table) {
  std::string csv;
  const auto end_field = [&](bool last) { csv += last ? "\n" : ","; };
  for (size_t i = 0; i < table.columns.size(); ++i) {
    const ResultColumn& column = table.columns[i];
    csv += csv_field(column.name) + (column.with_error ? "," + csv_field(column.name + " error") : "");
    end_field(i + 1 == table.columns.size());
  }
  for (const std::vector<ResultCell>& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      csv += row[i].value ? exact_number(*row[i].value) : csv_field(row[i].text);
      if (table.columns[i].with_error) {
        csv += "," + (row[i].error ? exact_number(*row[i].error) : "");
      }
      end_field(i + 1 == row.size());
    }
  }
  return csv;
}

std::string table_markdown(const ResultTable& table) {
  std::string text;
  const auto add = [&](const std::vector<std::string>& cells) {
    text += '|';
    for (const std::string& cell : cells) {
      text += " " + cell + " |";
    }
    text += '\n';
  };
  add(names_of(table));
  add(std::vector<std::string>(table.columns.size(), "---"));
  for (const std::vector<ResultCell>& row : table.rows) {
    add(shown_row(row));
  }
  return text;
}

std::string table_html(const ResultTable& table) {
  std::vector<std::vector<std::string>> rows;
  rows.reserve(table.rows.size());
  for (const std::vector<ResultCell>& row : table.rows) {
    rows.push_back(shown_row(row));
  }
  return html_table(names_of(table), rows);
}

}  // namespace loraxs
