#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "commands/commands.h"
#include "io/error.h"
#include "io/fields.h"

namespace loraxs {
namespace {

/// The paper's columns; other tasks follow in the order they come.
const std::vector<std::pair<std::string, std::string>>& paper_columns() {
  static const std::vector<std::pair<std::string, std::string>> columns = {
      {"sst2", "SST-2"}, {"mrpc", "MRPC"}, {"cola", "CoLA"}, {"qnli", "QNLI"}, {"rte", "RTE"}, {"stsb", "STS-B"}};
  return columns;
}

struct Cell {
  std::string run;  // folder, for errors
  double value = 0;
  std::optional<double> deviation;
};

/// Runs of one model, method and rank; or one run.
struct TableRow {
  std::string run;  // folder; empty where the row holds several
  std::string model, method;
  int64_t parameters = 0;
  std::string rank;
  std::map<std::string, Cell> cells;  // by task
};

/// "24.6K", as the paper writes it.
std::string short_count(int64_t count) {
  char text[32];
  if (count < 1000) return std::to_string(count);
  const bool millions = count >= 1'000'000;
  std::snprintf(text, sizeof text, "%.1f", static_cast<double>(count) / (millions ? 1e6 : 1e3));
  std::string number = text;
  if (number.ends_with(".0")) number.resize(number.size() - 2);
  return number + (millions ? "M" : "K");
}

std::string hundredths(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", 100 * value);
  return text;
}

std::vector<TableRow> read_rows(const std::vector<std::string>& runs, bool by_run) {
  std::vector<TableRow> rows;
  for (const std::string& run : runs) {
    const std::filesystem::path path = std::filesystem::path(run) / "result.json";
    if (!std::filesystem::exists(path)) {
      throw Error(
          concat(run, ": expected a finished run with result.json, found ",
                 std::filesystem::exists(run) ? "none; finish it with loraxs train … --resume" : "nothing there"));
    }
    Fields fields(read_json(path), path.string());
    fields.ignore_unknown();
    const nlohmann::json rank = fields.raw("rank");
    TableRow key{.run = by_run ? run : "",
                 .model = fields.text("model", ""),
                 .method = fields.text("method", ""),
                 .parameters = fields.non_negative_int("trained_parameters", 0),
                 .rank = rank.is_null() ? "mixed" : rank.dump()};
    const std::string task = fields.text("task", "");
    if (!fields.has("value")) fields.fail("value", "expected a score, found a run without validation data");
    Cell cell{.run = run, .value = fields.number("value", 0)};
    if (fields.has("standard_deviation")) cell.deviation = fields.number("standard_deviation", 0);
    auto row = std::find_if(rows.begin(), rows.end(), [&](const TableRow& other) {
      return other.run == key.run && other.model == key.model && other.method == key.method &&
             other.parameters == key.parameters && other.rank == key.rank;
    });
    if (row == rows.end()) row = rows.insert(rows.end(), key);
    if (const auto [other, is_new] = row->cells.emplace(task, cell); !is_new) {
      throw Error(concat(run, ": expected one run of ", task,
                         " per row, found another of the same model, method and rank: ", other->second.run,
                         "; --by-run gives each a row"));
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const TableRow& x, const TableRow& y) { return x.parameters > y.parameters; });
  return rows;
}

/// Task and title of every column that some row has.
std::vector<std::pair<std::string, std::string>> columns_of(const std::vector<TableRow>& rows) {
  std::vector<std::pair<std::string, std::string>> columns;
  const auto used = [&](const std::string& task) {
    return std::any_of(rows.begin(), rows.end(), [&](const TableRow& row) { return row.cells.contains(task); });
  };
  for (const auto& column : paper_columns()) {
    if (used(column.first)) columns.push_back(column);
  }
  for (const TableRow& row : rows) {
    for (const auto& [task, cell] : row.cells) {
      if (std::find_if(columns.begin(), columns.end(), [&](const auto& c) { return c.first == task; }) ==
          columns.end()) {
        columns.emplace_back(task, task);
      }
    }
  }
  return columns;
}

/// The mean over all columns; nothing where a row lacks one, since it would be a mean of other things.
std::optional<double> average(const TableRow& row, size_t columns) {
  if (row.cells.size() < columns) return std::nullopt;
  double sum = 0;
  for (const auto& [task, cell] : row.cells) sum += cell.value;
  return sum / static_cast<double>(columns);
}

/// RFC 4180: quoted where a comma or quote stands in it.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void print_line(const std::vector<std::string>& cells, bool csv) {
  std::string line = csv ? "" : "| ";
  for (size_t i = 0; i < cells.size(); ++i)
    line += (i == 0 ? "" : csv ? "," : " | ") + (csv ? csv_cell(cells[i]) : cells[i]);
  std::cout << line << (csv ? "\n" : " |\n");
}

}  // namespace

int run_table(const TableOptions& options, const CommonOptions&) {
  const std::vector<TableRow> rows = read_rows(options.runs, options.by_run);
  const auto columns = columns_of(rows);
  const bool csv = options.format == "csv";
  std::vector<std::string> head = {"model", "method", "params", "rank"};
  if (options.by_run) head.insert(head.begin(), "run");
  for (const auto& [task, title] : columns) {
    head.push_back(title);
    if (csv) head.push_back(title + " std");
  }
  head.emplace_back("avg");
  print_line(head, csv);
  if (!csv) print_line(std::vector<std::string>(head.size(), "---"), csv);
  for (const TableRow& row : rows) {
    std::vector<std::string> cells = {row.model, row.method,
                                      csv ? std::to_string(row.parameters) : short_count(row.parameters), row.rank};
    if (options.by_run) cells.insert(cells.begin(), row.run);
    for (const auto& [task, title] : columns) {
      const auto cell = row.cells.find(task);
      const bool there = cell != row.cells.end();
      const std::string value = there ? hundredths(cell->second.value) : "";
      const std::string deviation = there && cell->second.deviation ? hundredths(*cell->second.deviation) : "";
      cells.push_back(csv || deviation.empty() ? value : value + " ± " + deviation);
      if (csv) cells.push_back(deviation);
    }
    const std::optional<double> mean = average(row, columns.size());
    cells.push_back(mean ? hundredths(*mean) : "");
    print_line(cells, csv);
  }
  return 0;
}

}  // namespace loraxs
