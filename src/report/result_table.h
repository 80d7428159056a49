// report/result_table.h: results as rows and columns with errors, for files, terminals and pages.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace loraxs {

/// A text, or a number with its error. Neither: the cell is empty.
struct ResultCell {
  std::string text;
  std::optional<double> value, error;

  ResultCell() = default;
  ResultCell(std::string of_text) : text(std::move(of_text)) {}     // NOLINT(google-explicit-constructor)
  ResultCell(const char* of_text) : text(of_text) {}                // NOLINT(google-explicit-constructor)
  ResultCell(double of_value, std::optional<double> of_error = {})  // NOLINT(google-explicit-constructor)
      : value(of_value), error(of_error) {}
  ResultCell(std::optional<double> of_value) : value(of_value) {}  // NOLINT(google-explicit-constructor)
};

struct ResultColumn {
  std::string name;
  bool with_error = false;  // a file has "NAME error" behind it
};

struct ResultTable {
  std::vector<ResultColumn> columns;
  std::vector<std::vector<ResultCell>> rows;  // as long as columns
};

/// RFC 4180 with LF; numbers in the shortest form of ten digits. Nothing in it depends on the machine.
std::string table_csv(const ResultTable& table);
std::string table_markdown(const ResultTable& table);
std::string table_html(const ResultTable& table);
/// "0.7751 ± 0.002", "6144".
std::string shown_cell(const ResultCell& cell);

}  // namespace loraxs
