// Tables and records: the first byte chooses the kind of file. Cells are where columns say, and labels have places.
#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

#include "data/chat_record.h"
#include "data/delimited.h"
#include "data/json_records.h"
#include "data/label_column.h"
#include "data/prediction_input.h"
#include "io/error.h"

namespace {

using namespace loraxs;

void read_as_table(std::string_view text, const std::string& name, bool header) {
  const Table table = parse_table(text, name, header);
  if (table.columns.size() > kMostColumns) std::abort();
  for (const Table::Row& row : table.rows) {
    if (table.records ? row.places.size() != row.cells.size() : !row.places.empty()) std::abort();
  }
  if (table.columns.empty()) return;  // records without a key
  const std::string first = header || table.records ? table.columns[0] : "1";
  if (first.empty()) return;  // no name is no column: such examples have no label
  const auto labels = distinct_labels(table, first);
  for (const Example& example : table_examples(table, {.first = first, .label = first}, labels)) {
    if (*example.target < 0 || *example.target >= static_cast<double>(labels.size())) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t kind = data[0] % 8;
  try {
    if (kind < 4) {
      constexpr std::array kNames = {"t.csv", "t.tsv", "t.jsonl", "t.txt"};
      read_as_table(text, kNames[kind], /*header=*/(data[0] & 8) != 0);
    } else if (kind < 7) {
      int64_t skipped = 0;
      const OnError on_error = (data[0] & 8) != 0 ? OnError::kSkip : OnError::kStop;
      parse_examples(text, kind == 4 ? "r.json" : "r.jsonl", on_error, skipped,
                     [&](const nlohmann::ordered_json& record, const std::string& where) {
                       if (kind == 6) return Example{.first = record_text(record, "text", where)};
                       return read_chat_record(record, where, NeedsAnswer::kYes);
                     });
    } else {
      parse_prediction_lines(text, "t", {});
    }
  } catch (const Error& error) {
    if (std::string_view(error.what()).size() > kMessageBytes) std::abort();
  }
  return 0;
}
