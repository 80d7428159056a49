// Tables and records that would cost the square of their size, or a class that is none.
#include <gmock/gmock.h>

#include "data/delimited.h"
#include "data/json_records.h"
#include "data/label_column.h"
#include "data/prediction_input.h"
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

TEST(TableTest, ArraysOfRecordsAreTables) {
  const Table table = parse_table("[{\"text\":\"a\",\"label\":1},\n {\"label\":\"x\",\"text\":\"b\"}]", "t.json", true);
  EXPECT_THAT(table.columns, testing::ElementsAre("text", "label"));
  EXPECT_EQ(table.cell(table.rows[1], 0), "b");
  EXPECT_EQ(table.place(table.rows[1]), "t.json[1]");
  EXPECT_EQ(parse_table("{\"text\":\"a\"}\n{\"text\":\"b\"}\n", "t.json", true).rows.size(), 2U);  // lines in a .json
  EXPECT_ERROR(parse_table("[{\"text\":\"a\"}, 5]", "t.json", true), "t.json[1]: expected a JSON object, found number");
}

TEST(TableTest, AColumnStandsOnce) {
  EXPECT_ERROR(parse_table("text,label,text\na,1,b\n", "t.csv", true),
               "t.csv:1: expected each column once, found \"text\"");
  EXPECT_ERROR(parse_table("label\ttext\tlabel\n1\ta\t2\n", "t.tsv", true), "t.tsv:1: expected each column once");
  EXPECT_ERROR(parse_table("{\"text\":\"a\"}\n{\"text\":\"b\",\"text\":\"c\"}\n", "t.jsonl", true), "t.jsonl:2:");
  EXPECT_ERROR(parse_table("text;label\na;1\n", "t.csv", true),
               "t.csv:1: expected commas between columns, found semicolons in \"text;label\"; save it with commas");
  EXPECT_ERROR(parse_table("text\tlabel\na\t1\n", "t.csv", true), "found tabs in");
  EXPECT_EQ(parse_table("text,a;b\nx;y,1\n", "t.csv", true).columns.size(), 2U);
  EXPECT_EQ(parse_table("text\nx;y\n", "t.csv", true).rows.size(), 1U);
  EXPECT_EQ(parse_table("text,label,,\na,1,,\n", "t.csv", true).rows.size(), 1U);  // columns without a name have no use
}

TEST(TableTest, EncodingsAreTold) {
  EXPECT_ERROR(parse_table(std::string("\xFF\xFEt\0e\0", 6), "t.csv", true),
               "t.csv:1: expected UTF-8, found UTF-16; iconv");
  EXPECT_ERROR(parse_table(std::string("\0t\0e", 4), "t.tsv", true), "t.tsv:1: expected UTF-8, found UTF-16");
  EXPECT_ERROR(parse_table("{\"text\":\"a\"}\n{\"text\":\"caf\xE9\"}\n", "t.jsonl", true),
               "t.jsonl:2: expected UTF-8, found \\xe9");
  int64_t skipped = 0;
  EXPECT_ERROR(parse_examples("{\"t\":\"caf\xE9\"}\n", "r.jsonl", OnError::kStop, skipped, {}),
               "r.jsonl:1: expected UTF-8");
}

std::vector<Example> labelled(const std::string& text, const std::string& name, const ColumnNames& said = {}) {
  const Table table = parse_table(text, name, true);
  const ExampleColumns columns = choose_columns(table, said, /*labelled=*/true, "task.");
  return table_examples(table, columns, distinct_labels(table, columns.label));
}

TEST(LabelColumnTest, WhatIsNoLabelIsToldWithItsLine) {
  EXPECT_ERROR(labelled("text,label\na,x\nb,\n", "t.csv"), "t.csv:3: label: expected a label, found an empty one");
  EXPECT_ERROR(labelled("text\tlabel\na\tx\nb\t \n", "t.tsv"), "t.tsv:3: label: expected a label, found an empty one");
  EXPECT_ERROR(labelled("{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\"}\n", "t.jsonl"),
               "t.jsonl:2: label: expected a label");
  EXPECT_ERROR(labelled("[{\"text\":\"a\",\"label\":null}]", "t.json"), "t.json[0]: label: expected a label");
  EXPECT_ERROR(labelled("{\"text\":\"a\",\"label\":[\"x\"]}\n", "t.jsonl"),
               "t.jsonl:1: label: expected one label, found [\"x\"]");
  EXPECT_ERROR(labelled("{\"text\":\"a\",\"label\":{\"x\":1}}\n", "t.jsonl"), "label: expected one label");
  EXPECT_ERROR(labelled("{\"text\":[\"a\",\"b\"],\"label\":\"x\"}\n", "t.jsonl"),
               "t.jsonl:1: text: expected a text, found [\"a\"");
  for (const std::string rows : {"a,0\nb,1\nc,-1\n", "a,-1\nb,-1\nc,-1\n", "a,2\nb,0\nc,-1\n"}) {
    EXPECT_ERROR(labelled("text,label\n" + rows, "t.csv"),
                 "label: expected a class, found \"-1\", which GLUE's files write for unlabelled");
  }
  EXPECT_EQ(labelled("text,label\na,1\nb,-1\n", "t.csv").size(), 2U);  // two signs are two classes
  const Table table = parse_table("text,label\na,0\nb,-1\n", "t.csv", true);
  EXPECT_EQ(table_examples(table, {.first = "text", .label = "label"}, {"-1", "0"}).size(),
            2U);  // as the task's labels say
  EXPECT_ERROR(table_examples(table, {.first = "text", .label = "label"}, {"0", "1"}),
               "t.csv:3: label: expected one of 0, 1, found \"-1\", which GLUE");
}

TEST(LabelColumnTest, TextsAreChosenByOneRule) {
  const auto chosen = [](const std::string& header, const ColumnNames& said = {}, bool is_labelled = false) {
    std::string row = header;
    const ExampleColumns columns =
        choose_columns(parse_table(header + "\n" + row + "\n", "t.csv", true), said, is_labelled, "--");
    return columns.first + "|" + columns.second + "|" + columns.label;
  };
  EXPECT_EQ(chosen("id,text,label"), "text||");
  EXPECT_EQ(chosen("id,text,label", {}, true), "text||label");
  EXPECT_EQ(chosen("text_pair,text"), "text|text_pair|");
  EXPECT_EQ(chosen("index,sentence1,sentence2,score"), "sentence1|sentence2|");
  EXPECT_EQ(chosen("premise,hypothesis,label", {}, true), "premise|hypothesis|label");
  EXPECT_EQ(chosen("message"), "message||");
  EXPECT_EQ(chosen("ticket,message,team", {.text = "message", .label = "team"}, true), "message||team");
  EXPECT_EQ(chosen("ticket,message,team", {.text = "2"}), "2||");
  EXPECT_ERROR(chosen("ticket,message"),
               "t.csv: expected to know the column of texts, found the columns ticket, message; say it with --text");
  EXPECT_ERROR(chosen("id"), "found the columns id; say it with --text");
  EXPECT_ERROR(chosen("label"), "say it with --text");
  EXPECT_ERROR(chosen("text,label", {.text = "label"}, true), "--text: expected another column than that of labels");
  EXPECT_ERROR(chosen("text,team", {.label = "text"}), "--text: expected another column than that of labels");
  EXPECT_ERROR(chosen("text,team", {.text = "txt"}), "txt");
}

TEST(PredictionInputTest, LinesAndRecordsAreTexts) {
  const PredictionInput input =
      parse_prediction_lines("plain\na\tb\r\n{\"id\":7,\"text\":\"t\",\"tags\":[1]}\n", "in", {});
  ASSERT_EQ(input.examples.size(), 3U);
  EXPECT_EQ(input.examples[1].first + "|" + *input.examples[1].second, "a|b");
  EXPECT_EQ(input.examples[2].first, "t");
  EXPECT_EQ(input.beside[2].dump(), "{\"id\":7,\"tags\":[1]}");
  EXPECT_EQ(input.beside[0].dump(), "{}");
  EXPECT_EQ(
      parse_prediction_lines("{\"ticket\":\"T1\",\"message\":\"m\"}", "in", {.text = "message"}).examples[0].first,
      "m");
  EXPECT_ERROR(parse_prediction_lines("a\n{\"ticket\":\"T1\",\"message\":\"m\"}", "in", {}),
               "found the columns ticket, message; say it with --text");
  EXPECT_ERROR(parse_prediction_lines("a\n\nb", "in", {}), "in:2: expected a sentence, found an empty line");
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
