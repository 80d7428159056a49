#include "cli/subcommands/table.h"

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "commands/session.h"
#include "commands/table_entries.h"
#include "io/error.h"
#include "io/json.h"

namespace loraxs {
namespace {

/// The paper's columns; other tasks follow in the order they come.
const std::vector<std::pair<std::string, std::string>>& paper_columns() {
  static const std::vector<std::pair<std::string, std::string>> columns = {{"sst2", "SST-2"},
                                                                           {"mrpc", "MRPC"},
                                                                           {"cola", "CoLA"},
                                                                           {"qnli", "QNLI"},
                                                                           {"rte", "RTE"},
                                                                           {"stsb", "STS-B"},
                                                                           {"boolq", "BoolQ"},
                                                                           {"piqa", "PIQA"},
                                                                           {"siqa", "SIQA"},
                                                                           {"hellaswag", "HellaSwag"},
                                                                           {"winogrande", "WinoGrande"},
                                                                           {"arc_easy", "ARC-e"},
                                                                           {"arc_challenge", "ARC-c"},
                                                                           {"openbookqa", "OBQA"},
                                                                           {"gsm8k", "GSM8K"},
                                                                           {"math", "MATH"}};
  return columns;
}

/// A score's column: a task, and the metric where that is not the one of the others.
struct Column {
  std::string task, metric;
  bool second = false;
  bool operator==(const Column& other) const { return task == other.task && metric == other.metric; }
};

/// Scores of one model, method and rank; of one run with --by-run; of one variant where the same was done twice.
struct TableRow {
  std::string run;  // with --by-run
  std::string model, method, rank, variant;
  int64_t parameters = 0;
  std::vector<std::pair<Column, TableEntry>> cells;
  std::map<std::string, std::string> settings;  // of the variant

  bool is_of(const TableRow& other) const {
    return run == other.run && model == other.model && method == other.method && rank == other.rank &&
           parameters == other.parameters && variant == other.variant;
  }
  const TableEntry* find(const Column& column) const {
    for (const auto& [mine, entry] : cells) {
      if (mine == column) return &entry;
    }
    return nullptr;
  }
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

/// As the paper prints it: in percent, but a loss as it is.
std::string shown_score(double value, const std::string& metric) {
  char text[32];
  const bool loss = metric == "loss";
  std::snprintf(text, sizeof text, loss ? "%.4f" : "%.2f", loss ? value : 100 * value);
  return text;
}

Column column_of(const TableEntry& entry) { return {entry.task, entry.metric, entry.second}; }

/// Settings that all entries of one place have, and in which they differ.
std::set<std::string> differing_keys(const std::vector<const TableEntry*>& entries) {
  std::map<std::string, std::set<std::string>> values;
  std::map<std::string, size_t> counts;
  for (const TableEntry* entry : entries) {
    for (const auto& [key, value] : entry->settings) {
      values[key].insert(value);
      ++counts[key];
    }
  }
  std::set<std::string> keys;
  for (const auto& [key, of_key] : values) {
    if (of_key.size() > 1 && counts[key] == entries.size()) keys.insert(key);
  }
  return keys;
}

/// The keys that tell entries of one row apart. Throws Error where the same place has two scores and nothing differs.
std::set<std::string> variant_keys(const std::vector<const TableEntry*>& row) {
  std::set<std::string> keys;
  for (size_t i = 0; i < row.size(); ++i) {
    std::vector<const TableEntry*> same;
    for (const TableEntry* entry : row) {
      if (column_of(*entry) == column_of(*row[i])) same.push_back(entry);
    }
    if (same.size() < 2 || same.front() != row[i]) continue;
    const std::set<std::string> mine = differing_keys(same);
    std::set<std::vector<std::string>> distinct;
    for (const TableEntry* entry : same) {
      std::vector<std::string> values;
      values.reserve(mine.size());
      for (const std::string& key : mine)
        values.push_back(entry->settings.contains(key) ? entry->settings.at(key) : "");
      distinct.insert(values);
    }
    if (distinct.size() < same.size()) {
      throw Error(concat(same[1]->source, ": expected one run of ", same[1]->task,
                         " per row, found another of the same model, method and rank, with the same settings: ",
                         same[0]->source, "; --by-run gives each a row"));
    }
    keys.insert(mine.begin(), mine.end());
  }
  return keys;
}

/// "learning_rate=0.002, seeds=[1]"
std::string variant_text(const std::map<std::string, std::string>& settings) {
  std::string text;
  constexpr size_t kShown = 60;
  for (const auto& [key, value] : settings) {
    const size_t dot = key.rfind('.');
    text += concat(text.empty() ? "" : ", ", dot == std::string::npos ? key : key.substr(dot + 1), "=",
                   shortened(value, kShown));
  }
  return text;
}

std::vector<TableRow> rows_of(const std::vector<TableEntry>& entries, bool by_run) {
  const auto key_of = [&](const TableEntry& entry) {
    return TableRow{.run = by_run ? entry.source : "",
                    .model = entry.model,
                    .method = entry.method,
                    .rank = entry.rank,
                    .parameters = entry.parameters};
  };
  // Entries by what their rows have in common, and what then tells them apart.
  std::map<std::vector<std::string>, std::vector<const TableEntry*>> groups;
  const auto place_of = [&](const TableEntry& entry) {
    const TableRow key = key_of(entry);
    return std::vector<std::string>{key.run, key.model, key.method, key.rank, std::to_string(key.parameters)};
  };
  for (const TableEntry& entry : entries) groups[place_of(entry)].push_back(&entry);
  std::map<std::vector<std::string>, std::set<std::string>> keys;
  for (const auto& [place, beside] : groups) keys[place] = variant_keys(beside);
  std::vector<TableRow> rows;
  for (const TableEntry& entry : entries) {
    TableRow key = key_of(entry);
    for (const std::string& name : keys[place_of(entry)]) {
      if (entry.settings.contains(name)) key.settings[name] = entry.settings.at(name);
    }
    key.variant = variant_text(key.settings);
    auto row = std::find_if(rows.begin(), rows.end(), [&](const TableRow& other) { return other.is_of(key); });
    if (row == rows.end()) row = rows.insert(rows.end(), key);
    row->cells.emplace_back(column_of(entry), entry);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const TableRow& x, const TableRow& y) { return x.parameters > y.parameters; });
  return rows;
}

/// The columns that some row has: the paper's tasks first, each task's metrics in the order they come.
std::vector<Column> columns_of(const std::vector<TableRow>& rows) {
  std::vector<Column> found;
  for (const TableRow& row : rows) {
    for (const auto& [column, entry] : row.cells) {
      if (std::find(found.begin(), found.end(), column) == found.end()) found.push_back(column);
    }
  }
  const auto place = [&](const Column& column) {
    const auto& paper = paper_columns();
    const auto mine = std::find_if(paper.begin(), paper.end(), [&](const auto& c) { return c.first == column.task; });
    const auto first = std::find_if(found.begin(), found.end(), [&](const Column& c) { return c.task == column.task; });
    return std::pair{mine - paper.begin(), mine == paper.end() ? first - found.begin() : 0};
  };
  std::vector<Column> sorted = found;
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Column& x, const Column& y) { return place(x) < place(y); });
  return sorted;
}

std::string title_of(const Column& column, const std::vector<Column>& all) {
  std::string title = column.task;
  for (const auto& [task, name] : paper_columns()) {
    if (task == column.task) title = name;
  }
  const auto same = std::count_if(all.begin(), all.end(), [&](const Column& c) { return c.task == column.task; });
  return same > 1 || column.metric == "loss" ? title + " " + column.metric : title;
}

/// The mean over all columns of scores; nothing where a row lacks one, since it would be a mean of other things.
std::optional<double> average(const TableRow& row, const std::vector<Column>& columns) {
  double sum = 0;
  int64_t count = 0;
  for (const Column& column : columns) {
    if (column.second || column.metric == "loss") continue;
    const TableEntry* entry = row.find(column);
    if (entry == nullptr) return std::nullopt;
    sum += entry->value;
    ++count;
  }
  return count > 0 ? std::optional(sum / static_cast<double>(count)) : std::nullopt;
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

void print_json(const TableRow& row, const std::vector<Column>& columns) {
  nlohmann::ordered_json line = {{"model", row.model},           {"method", row.method},
                                 {"parameters", row.parameters}, {"rank", row.rank},
                                 {"variant", row.settings},      {"scores", nlohmann::ordered_json::array()}};
  for (const Column& column : columns) {
    const TableEntry* entry = row.find(column);
    if (entry == nullptr) continue;
    nlohmann::ordered_json score = {{"task", entry->task}, {"metric", entry->metric}, {"value", entry->value}};
    if (entry->deviation) score["standard_deviation"] = *entry->deviation;
    score["source"] = entry->source;
    line["scores"].push_back(std::move(score));
  }
  const std::optional<double> mean = average(row, columns);
  line["average"] = mean ? nlohmann::ordered_json(*mean) : nlohmann::ordered_json();
  std::cout << json_text(line) << '\n';
}

void print_table(const std::vector<TableRow>& rows, const std::vector<Column>& columns, bool csv, bool by_run) {
  const bool variants = std::any_of(rows.begin(), rows.end(), [](const TableRow& row) { return !row.variant.empty(); });
  std::vector<std::string> head = {"model", "method", "params", "rank"};
  if (variants) head.emplace_back("variant");
  if (by_run) head.insert(head.begin(), "run");
  for (const Column& column : columns) {
    head.push_back(title_of(column, columns));
    if (csv) head.push_back(head.back() + " std");
  }
  head.emplace_back("avg");
  print_line(head, csv);
  if (!csv) print_line(std::vector<std::string>(head.size(), "---"), csv);
  for (const TableRow& row : rows) {
    std::vector<std::string> cells = {row.model, row.method,
                                      csv ? std::to_string(row.parameters) : short_count(row.parameters), row.rank};
    if (variants) cells.push_back(row.variant);
    if (by_run) cells.insert(cells.begin(), row.run);
    for (const Column& column : columns) {
      const TableEntry* entry = row.find(column);
      const std::string value = entry == nullptr ? "" : shown_score(entry->value, entry->metric);
      const std::string deviation =
          entry == nullptr || !entry->deviation ? "" : shown_score(*entry->deviation, entry->metric);
      cells.push_back(csv || deviation.empty() ? value : value + " ± " + deviation);
      if (csv) cells.push_back(deviation);
    }
    const std::optional<double> mean = average(row, columns);
    cells.push_back(mean ? shown_score(*mean, "") : "");
    print_line(cells, csv);
  }
}

}  // namespace

int run(const TableOptions& options, const CommonOptions& common) {
  std::vector<std::string> unfinished;
  const std::vector<TableRow> rows = rows_of(read_table_entries(options.runs, unfinished), options.by_run);
  const LogSink log = stderr_log(common);
  for (const std::string& run : unfinished) {
    if (log) log(LogLevel::kWarning, run + ": is not finished, and not in the table");
  }
  const std::vector<Column> columns = columns_of(rows);
  if (common.json || options.format == "json") {
    for (const TableRow& row : rows) print_json(row, columns);
  } else {
    print_table(rows, columns, options.format == "csv", options.by_run);
  }
  return 0;
}

}  // namespace loraxs
