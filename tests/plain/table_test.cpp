// Tables and records that would cost the square of their size, or a class that is none.
#include <gmock/gmock.h>

#include "data/delimited.h"
#include "data/json_records.h"
#include "data/label_column.h"
#include "io/error.h"
#include "support/expect_error.h"

namespace loraxs {
namespace {

TEST(TableTest, RecordsKeepOnlyTheCellsTheyHave) {
  const Table table = parse_table("{\"a\":\"x\",\"b\":1}\n\n{\"c\":null,\"a\":\"y\"}\n{}\n", "t.jsonl", true);
  EXPECT_THAT(table.columns, testing::ElementsAre("a", "b", "c"));
  EXPECT_EQ(table.cell(table.rows[0], 1), "1");
  EXPECT_EQ(table.cell(table.rows[1], 0), "y");
  EXPECT_EQ(table.cell(table.rows[1], 1), "");
  EXPECT_EQ(table.cell(table.rows[2], 2), "");
  EXPECT_EQ(table.rows[2].line, 4);
  std::string wide = "{";
  for (int i = 0; i < 9000; ++i) wide += concat(i == 0 ? "" : ",", "\"k", i, "\":1");
  wide += "}\n";
  for (int i = 0; i < 20'000; ++i) wide += "{\"k8999\":2}\n";
  const Table sparse = parse_table(wide, "t.jsonl", true);  // 180 million cells, if each row had all of them
  EXPECT_EQ(sparse.rows.back().cells.size(), 1U);
  EXPECT_EQ(sparse.cell(sparse.rows.back(), 8999), "2");
}

TEST(TableTest, ColumnsAreBounded) {
  std::string lines, row;
  for (size_t i = 0; i <= kMostColumns; ++i) lines += concat("{\"k", i, "\":1}\n"), row += "c,";
  EXPECT_ERROR(parse_table(lines, "t.jsonl", true), "t.jsonl:10001: expected at most 10000 columns");
  EXPECT_ERROR(parse_table(row + "\n", "t.csv", true), "t.csv:1: expected at most 10000 columns");
  std::replace(row.begin(), row.end(), ',', '\t');
  EXPECT_ERROR(parse_table("a\n" + row + "\n", "t.tsv", true), "t.tsv:2: expected at most 10000 columns");
}

TEST(TableTest, BytesThatAreNoTextAreNamed) {
  EXPECT_ERROR(parse_table("text,label\nit\x92s,1\n", "t.csv", true), "t.csv:2: expected UTF-8, found \\x92");
}

TEST(LabelColumnTest, ClassesArePrintableAndNumbersUsable) {
  const auto labels = [](const std::string& cells) {
    return distinct_labels(parse_table("label\n" + cells, "t.tsv", true), "label");
  };
  EXPECT_THAT(labels("10\n9\n-1e-300\n"), testing::ElementsAre("-1e-300", "9", "10"));
  EXPECT_THAT(labels("b\na\n1\n"), testing::ElementsAre("1", "a", "b"));
  for (const std::string cell : {"1e-320", "1e999", "inf", "-nan", "nan"}) {
    EXPECT_ERROR(labels("1\n" + cell + "\n"), "t.tsv:3: label: expected a class, or a number within float64, found");
  }
  EXPECT_ERROR(labels(std::string("1\n\0\n", 4)), "t.tsv:3: label: expected a text without control characters");
}

TEST(RecordsTest, ArraysAreReadRecordByRecord) {
  int64_t skipped = 0;
  const auto texts = [&](const std::string& text, OnError on_error = OnError::kStop) {
    skipped = 0;
    std::string all;
    for (const Example& example : parse_examples(
             text, "r.json", on_error, skipped,
             [](const auto&record, const auto&where) { return Example{.first = record_text(record, "t", where)}; })) {
      all += example.first + "|";
    }
    return all;
  };
  EXPECT_EQ(texts("[ {\"t\":\"a]\\\"}\"} ,\n{\"t\":\"b\",\"more\":[{}]}]\n"), "a]\"}|b|");
  EXPECT_ERROR(texts("[{\"t\":\"a\"},{\"t\":}]"), "r.json[1]: expected JSON: ");
  EXPECT_EQ(texts("[{\"t\":\"a\"},{\"t\":}]", OnError::kSkip), "a|");
  EXPECT_EQ(skipped, 1);
  for (const std::string damaged :
       {"[{\"t\":\"a\"}", "[{\"t\":\"a\"},", "[{\"t\":\"a\"},]", "[{\"t\":\"a\"}] x", "[{\"t\":\"a\"}}"}) {
    EXPECT_ERROR(texts(damaged), "r.json: expected a JSON array that ends with ]");
  }
}

}  // namespace
}  // namespace loraxs
