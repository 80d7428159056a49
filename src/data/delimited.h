// data/delimited.h: rows of tab-separated, comma-separated or JSONL files, with the line each one starts on.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace loraxs {

inline constexpr size_t kMostColumns = 10'000;

/// What a record has under a key. Cells of other tables are texts.
enum class CellKind : uint8_t {
  kText,
  kScalar /* a number, true or false */,
  kStructure /* a list or object */,
  kNone
};

struct Table {
  struct Row {
    int64_t line = 0;                // from 1; of a .json array its place, from 1 too
    std::vector<std::string> cells;  // one per column; of a record: one per key it has
    std::vector<size_t> places;      // of a record: the column of each cell
    std::vector<CellKind> kinds;     // of a record: of each cell; what is no text stands as its JSON
  };
  std::string where;                 // file name, for errors
  std::vector<std::string> columns;  // names; empty without a header
  bool records = false;              // .jsonl, .json: rows have places and kinds
  bool array = false;                // a .json array: rows have no lines
  std::vector<Row> rows;

  /// "id, message, "team "": the names with commas between them, quoted where a blank at an end would not be seen.
  std::string column_names() const;
  /// Index of a column by name, or by number from 1. Throws Error naming the known columns.
  size_t column(const std::string& name_or_number, const std::string& key) const;
  /// A row's text in a column; empty where a record lacks the key.
  const std::string& cell(const Row& row, size_t column) const;
  CellKind kind(const Row& row, size_t column) const;
  /// "t.csv:12" or "t.json[11]", for errors.
  std::string place(const Row& row) const;
};

/// Reads by extension, with .gz after it or not: .tsv (no quoting: quotes are plain characters), .csv (RFC 4180),
/// .jsonl (one object a line) or .json (an array of them); columns are the union of keys, in first-seen order. BOM,
/// CRLF and a missing last newline are accepted; empty lines are skipped. Every row must have as many cells as the
/// first, no name stands twice in a header or record, a .csv header is not one column with semicolons or tabs in it,
/// and a table has at most kMostColumns columns. Throws Error with file and line, also for bytes that are no UTF-8.
Table read_table(const std::filesystem::path& path, bool header);
/// The same of a file's text; the path gives the kind of table and begins errors.
Table parse_table(std::string_view text, const std::filesystem::path& path, bool header);
/// A table of one record.
Table parse_record(std::string_view text, const std::string& where, int64_t line);

}  // namespace loraxs
