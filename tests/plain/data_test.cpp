#include <gmock/gmock.h>

#include <fstream>

#include "data/task.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

Task load(const test::TemporaryFolder& folder, const std::string& yaml) {
  Fields fields(parse_yaml(yaml, "recipe.yaml"), "recipe.yaml", "task");
  return load_task(fields, folder.path());
}

TEST(QnliTest, ReadsFilesAsDistributed) {
  const test::TemporaryFolder folder;
  const std::string header = "index\tquestion\tsentence\tlabel\n";
  write(folder / "train.tsv", header + "0\tWho \"said it?\tHe did.\tentailment\n1\tWhy?\tNo.\tnot_entailment");
  write(folder / "dev.tsv", "\xEF\xBB\xBF" + header + "5\tWhen?\tNow.\tentailment\r\n");
  const Task task = load(folder, "{name: qnli, data: .}");
  ASSERT_EQ(task.train.size(), 2U);
  EXPECT_EQ(task.train[0].first, "Who \"said it?");
  EXPECT_EQ(task.train[1].target, 1.0);
  EXPECT_EQ(task.validation[0].second, "Now.");
  write(folder / "dev.tsv", header + "5\tWhen?\tNow.\n");
  EXPECT_ERROR(load(folder, "{name: qnli, data: .}"), "dev.tsv:2: expected 4 columns, found 3");
  write(folder / "dev.tsv", header + "5\tWhen?\tNow.\tentailmnt\n");
  EXPECT_ERROR(
      load(folder, "{name: qnli, data: .}"),
      "dev.tsv:2: label: expected one of entailment, not_entailment, found \"entailmnt\"; did you mean entailment?");
  write(folder / "dev.tsv", header + "5\tWhen?\t \tentailment\n");
  EXPECT_ERROR(load(folder, "{name: qnli, data: .}"), "dev.tsv:2: text_pair: expected a sentence");
  EXPECT_ERROR(load(folder, "{name: qnly, data: .}"), "did you mean qnli?");
}

TEST(OwnDataTest, QuotedCsvWithNewlinesAndJsonl) {
  const test::TemporaryFolder folder;
  write(folder / "a.csv", "text,label\n\"one, \"\"two\"\"\nthree\",yes\nplain,no\n");
  write(folder / "b.jsonl", "{\"text\": \"x\", \"label\": \"no\"}\n\n{\"text\": \"y\", \"label\": \"yes\"}\n");
  const Task task = load(folder, "{name: classification, train: a.csv, validation: b.jsonl}");
  EXPECT_EQ(task.train[0].first, "one, \"two\"\nthree");
  EXPECT_THAT(task.labels, testing::ElementsAre("no", "yes"));
  EXPECT_EQ(task.validation[1].target, 1.0);
  EXPECT_ERROR(load(folder, "{name: classification, train: a.csv, text: txt}"),
               "expected a column name or a number from 1 to 2, found \"txt\"; did you mean text?");
  write(folder / "c.jsonl", "{\"text\": \"x\"\n");
  EXPECT_ERROR(load(folder, "{name: classification, train: c.jsonl}"), "c.jsonl:1: expected a JSON object");
}

TEST(OwnDataTest, RegressionScoresMustBeNumbers) {
  const test::TemporaryFolder folder;
  write(folder / "a.tsv", "a\tb\tscore\nx\ty\t2.5\nx\tz\tfour\n");
  EXPECT_ERROR(load(folder, "{name: regression, train: a.tsv, text: a, text_pair: b, label: score}"),
               "a.tsv:3: label: expected a number, found \"four\"");
  write(folder / "a.tsv", "x\ty\t2.5\n");
  const Task task = load(folder, "{name: regression, train: a.tsv, header: false, text: 1, text_pair: 2, label: 3}");
  EXPECT_TRUE(task.regression());
  EXPECT_EQ(task.train[0].target, 2.5);
}

}  // namespace
}  // namespace loraxs
