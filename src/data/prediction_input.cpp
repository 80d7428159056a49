#include "data/prediction_input.h"

#include <algorithm>
#include <array>

#include "data/delimited.h"
#include "io/error.h"
#include "io/json.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

bool is_table(const std::filesystem::path& path) {
  static constexpr std::array kTables = {".csv", ".tsv", ".jsonl", ".json"};
  const std::string extension = text_extension(path);
  return std::find(kTables.begin(), kTables.end(), extension) != kTables.end();
}

/// The columns of a row but the texts.
Json beside_of(const Table& table, const Table::Row& row, size_t first, size_t second) {
  Json::object_t others;  // appended without a search: names are distinct
  const auto add = [&](size_t column, const std::string& cell, CellKind kind) {
    if (column == first || column == second) return;
    others.emplace_back(table.columns[column], kind == CellKind::kText ? Json(cell) : ordered_json_or_null(cell));
  };
  for (size_t i = 0; i < row.cells.size(); ++i) {
    add(table.records ? row.places[i] : i, row.cells[i], table.records ? row.kinds[i] : CellKind::kText);
  }
  return others;
}

void add_table(PredictionInput& input, const Table& table, const ColumnNames& said) {
  const ExampleColumns columns = choose_columns(table, said, /*labelled=*/false, "--");
  const size_t first = table.column(columns.first, "text");
  const size_t second = columns.second.empty() ? first : table.column(columns.second, "text_pair");
  for (Example& example : table_examples(table, columns, {})) input.examples.push_back(std::move(example));
  for (const Table::Row& row : table.rows) input.beside.push_back(beside_of(table, row, first, second));
}

}  // namespace

PredictionInput read_prediction_input(const std::filesystem::path& path, const ColumnNames& said) {
  PredictionInput input;
  if (!is_table(path)) {
    input = parse_prediction_lines(read_text_file(path), path.string(), said);
    if (input.examples.empty()) throw Error(concat(path.string(), ": expected a text a line, found none"));
    return input;
  }
  add_table(input, read_table(path, /*header=*/true), said);
  return input;
}

PredictionInput parse_prediction_lines(std::string_view text, const std::string& where, const ColumnNames& said) {
  check_utf8(text, where);
  PredictionInput input;
  for (int64_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view content = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (content.ends_with('\r')) content.remove_suffix(1);
    if (content.starts_with('{')) {
      add_table(input, parse_record(content, where, line), said);
      continue;
    }
    const size_t tab = content.find('\t');
    Example example{.first = std::string(content.substr(0, tab))};
    if (tab != std::string_view::npos) example.second = std::string(content.substr(tab + 1));
    if (example.first.find_first_not_of(" \t") == std::string::npos) {
      throw Error(concat(where, ":", line, ": expected a sentence, found an empty line"));
    }
    input.examples.push_back(std::move(example));
    input.beside.push_back(Json::object());
  }
  return input;
}

}  // namespace loraxs
