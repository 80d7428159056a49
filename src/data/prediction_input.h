// data/prediction_input.h: texts to be labelled, from tables and lines.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/example.h"
#include "data/label_column.h"

namespace loraxs {

/// Texts with what stood beside them.
struct PredictionInput {
  std::vector<Example> examples;
  std::vector<nlohmann::ordered_json> beside;  // of each example: an object of the other columns; empty of plain lines
};

/// A file: .csv, .tsv, .jsonl and .json are tables with a header, whose columns choose_columns finds; any other is read
/// line by line. Throws Error with file and line.
PredictionInput read_prediction_input(const std::filesystem::path& path, const ColumnNames& said);

/// Lines: plain text, "first<TAB>second", or a JSON object, which is a table's row. `where` begins errors.
PredictionInput parse_prediction_lines(std::string_view text, const std::string& where, const ColumnNames& said);

}  // namespace loraxs
