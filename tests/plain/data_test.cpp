#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "data/example_view.h"
#include "data/task.h"
#include "io/error.h"
#include "support/expect_error.h"
#include "support/task_text.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

TEST(QnliTest, ReadsFilesAsDistributed) {
  const test::TemporaryFolder folder;
  const std::string header = "index\tquestion\tsentence\tlabel\n";
  test::write_text(folder / "train.tsv",
                   header + "0\tWho \"said it?\tHe did.\tentailment\n1\tWhy?\tNo.\tnot_entailment");
  test::write_text(folder / "dev.tsv", "\xEF\xBB\xBF" + header + "5\tWhen?\tNow.\tentailment\r\n");
  const Task task = test::load_task_of(folder, "{name: qnli, data: .}");
  ASSERT_EQ(task.train.size(), 2U);
  EXPECT_EQ(task.train[0].first, "Who \"said it?");
  EXPECT_EQ(task.train[1].target, 1.0);
  EXPECT_EQ(task.validation[0].second, "Now.");
  test::write_text(folder / "dev.tsv", header + "5\tWhen?\tNow.\n");
  EXPECT_ERROR(test::load_task_of(folder, "{name: qnli, data: .}"), "dev.tsv:2: expected 4 columns, found 3");
  test::write_text(folder / "dev.tsv", header + "5\tWhen?\tNow.\tentailmnt\n");
  EXPECT_ERROR(
      test::load_task_of(folder, "{name: qnli, data: .}"),
      "dev.tsv:2: label: expected one of entailment, not_entailment, found \"entailmnt\"; did you mean entailment?");
  test::write_text(folder / "dev.tsv", header + "5\tWhen?\t \tentailment\n");
  EXPECT_ERROR(test::load_task_of(folder, "{name: qnli, data: .}"), "dev.tsv:2: text_pair: expected a sentence");
  EXPECT_ERROR(test::load_task_of(folder, "{name: qnly, data: .}"), "did you mean qnli?");
}

TEST(GlueTest, ReadsEveryTaskInItsOwnLayout) {
  struct Layout {
    const char* name;
    const char* header;
    const char* row;  // of train and validation
    const char* first;
    const char* second;
    double target;
    size_t labels;
    const char* metric;
  };
  const Layout layouts[] = {
      {"cola", "", "gj04\t0\t*\tThe \"book.\n", "The \"book.", nullptr, 0, 2, "matthews"},
      {"sst-2", "sentence\tlabel\n", "fine film \t1\n", "fine film ", nullptr, 1, 2, "accuracy"},
      {"MRPC", "\xEF\xBB\xBFQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n", "1\t7\t8\tA \"b\tC\n", "A \"b", "C", 1, 2,
       "accuracy"},
      {"rte", "index\tsentence1\tsentence2\tlabel\n", "0\tA.\tB.\tnot_entailment\n", "A.", "B.", 1, 2, "accuracy"},
      {"sts_b", "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n",
       "0\tg\tf\ty\t1\tn\tn\tA.\tB.\t3.800\n", "A.", "B.", 3.8, 0, "pearson"},
      {"mnli", "index\tsentence1\tsentence2\tlabel1\tgold_label\n", "0\tA.\tB.\tn/a\tcontradiction\n", "A.", "B.", 2, 3,
       "accuracy"},
  };
  for (const Layout& layout : layouts) {
    SCOPED_TRACE(layout.name);
    const test::TemporaryFolder folder;
    const std::string dev = std::string(layout.name) == "mnli" ? "dev_matched.tsv" : "dev.tsv";
    test::write_text(folder / "train.tsv", std::string(layout.header) + layout.row + layout.row);
    test::write_text(folder / dev, std::string(layout.header) + layout.row);
    const Task task = test::load_task_of(folder, concat("{name: ", layout.name, ", data: .}"));
    ASSERT_EQ(task.train.size(), 2U);
    ASSERT_EQ(task.validation.size(), 1U);
    EXPECT_EQ(task.train[1].first, layout.first);
    EXPECT_EQ(task.train[1].second.value_or("-"), layout.second == nullptr ? "-" : layout.second);
    EXPECT_EQ(task.validation[0].target, layout.target);
    EXPECT_EQ(task.labels.size(), layout.labels);
    EXPECT_EQ(task.metric, layout.metric);
    EXPECT_EQ(
        test::load_task_of(folder, concat("{name: ", layout.name, ", data: ., max_train_examples: 1}")).train.size(),
        1U);
  }
}

// RTE's own files are not public here: twenty rows in its layout, half of them of each class.
TEST(GlueTest, ReadsTwentyRowsOfRte) {
  const test::TemporaryFolder folder;
  std::string rows = "index\tsentence1\tsentence2\tlabel\n";
  for (int i = 0; i < 20; ++i) {
    rows += concat(i, "\tThe town of number ", i, " has \"a\" bridge, built in 19", i + 10,
                   ".\tA bridge stands in town ", i, ".\t", i % 2 == 0 ? "entailment" : "not_entailment", "\n");
  }
  test::write_text(folder / "train.tsv", rows);
  test::write_text(folder / "dev.tsv", rows);
  const Task task = test::load_task_of(folder, "{name: rte, data: .}");
  ASSERT_EQ(task.train.size(), 20U);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(task.train[i].target, i % 2);
    EXPECT_EQ(*task.train[i].second, concat("A bridge stands in town ", i, "."));
  }
}

// Row and label counts of the data sets' own documentation.
TEST(GlueTest, CountsOfTheRealFiles) {
  const char* data = std::getenv("LORAXS_DATA");
  if (data == nullptr) GTEST_SKIP() << "LORAXS_DATA is not set: the real GLUE files were not read";
  struct Count {
    const char* folder;
    size_t train, validation;
    double positive;  // examples of class 1 in validation, or the scores' mean
  };
  const Count counts[] = {{"SST-2", 67349, 872, 444}, {"MRPC", 3668, 408, 279},     {"CoLA", 8551, 1043, 721},
                          {"QNLI", 9833, 5463, 2761}, {"STS-B", 5749, 1500, 2.364}, {"MNLI", 15130, 9815, 3123}};
  for (const Count& count : counts) {
    SCOPED_TRACE(count.folder);
    Fields fields({{"name", count.folder}, {"data", std::string("glue/") + count.folder}}, "test", "task");
    const Task task = load_task(fields, data);
    EXPECT_EQ(task.train.size(), count.train);
    EXPECT_EQ(task.validation.size(), count.validation);
    double sum = 0, ones = 0;
    for (const Example& example : task.validation) {
      sum += *example.target;
      ones += *example.target == 1;
    }
    if (task.regression()) {
      EXPECT_NEAR(sum / static_cast<double>(count.validation), count.positive, 5e-4);
    } else {
      EXPECT_EQ(ones, count.positive);
    }
  }
}

TEST(OwnDataTest, GzipIsUnpackedAndDamageIsAnError) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "a.tsv", "text\tlabel\nx\tno\ny\tyes\n");
  ASSERT_EQ(std::system(concat("gzip -k ", (folder / "a.tsv").string()).c_str()), 0);
  const Task task = test::load_task_of(folder, "{name: classification, train: a.tsv.gz}");
  ASSERT_EQ(task.train.size(), 2U);
  EXPECT_EQ(task.train[1].first, "y");
  std::filesystem::resize_file(folder / "a.tsv.gz", std::filesystem::file_size(folder / "a.tsv.gz") - 9);
  EXPECT_ERROR(test::load_task_of(folder, "{name: classification, train: a.tsv.gz}"),
               "a.tsv.gz: expected gzip data, found damage");
}

TEST(OwnDataTest, QuotedCsvWithNewlinesAndJsonl) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "a.csv", "text,label\n\"one, \"\"two\"\"\nthree\",yes\nplain,no\n");
  test::write_text(folder / "b.jsonl",
                   "{\"text\": \"x\", \"label\": \"no\"}\n\n{\"text\": \"y\", \"label\": \"yes\"}\n");
  const Task task = test::load_task_of(folder, "{name: classification, train: a.csv, validation: b.jsonl}");
  EXPECT_EQ(task.train[0].first, "one, \"two\"\nthree");
  EXPECT_THAT(task.labels, testing::ElementsAre("no", "yes"));
  EXPECT_EQ(task.validation[1].target, 1.0);
  EXPECT_ERROR(test::load_task_of(folder, "{name: classification, train: a.csv, text: txt}"),
               "expected a column name or a number from 1 to 2, found \"txt\"; did you mean text?");
  test::write_text(folder / "c.jsonl", "{\"text\": \"x\"\n");
  EXPECT_ERROR(test::load_task_of(folder, "{name: classification, train: c.jsonl}"), "c.jsonl:1: expected JSON");
}

TEST(OwnDataTest, APartOfTheTrainingRowsIsHeldOut) {
  const test::TemporaryFolder folder;
  std::string rows = "text,label\n";
  for (int i = 0; i < 50; ++i) rows += concat("row ", i, i % 2 == 0 ? ",even\n" : ",odd\n");
  test::write_text(folder / "a.csv", rows);
  const Task task = test::load_task_of(folder, "{name: classification, train: a.csv, validation: 0.21}");
  const Task again = test::load_task_of(folder, "{name: classification, train: a.csv, validation: 0.21}");
  EXPECT_EQ(task.train.size(), 39U);
  ASSERT_EQ(task.validation.size(), 11U);
  std::set<std::string> texts;
  for (const auto* part : {&task.train, &task.validation}) {
    for (const Example& example : *part) texts.insert(example.first);
  }
  EXPECT_EQ(texts.size(), 50U);  // every row once
  bool shuffled = false;         // neither the first rows nor the last
  for (size_t i = 0; i < task.validation.size(); ++i) {
    EXPECT_EQ(task.validation[i].first, again.validation[i].first);
    const std::string row = task.validation[i].first;
    shuffled = shuffled || (row != concat("row ", i) && row != concat("row ", 39 + i));
  }
  EXPECT_TRUE(shuffled);
  for (const char* wrong : {"1", "-0.1", "true"}) {
    EXPECT_ERROR(test::load_task_of(folder, concat("{name: classification, train: a.csv, validation: ", wrong, "}")),
                 concat("validation: expected a file, or the part of train that is held out (0 to below 1), found "));
  }
}

TEST(OwnDataTest, RegressionScoresMustBeNumbers) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "a.tsv", "a\tb\tscore\nx\ty\t2.5\nx\tz\tfour\n");
  EXPECT_ERROR(test::load_task_of(folder, "{name: regression, train: a.tsv, text: a, text_pair: b, label: score}"),
               "a.tsv:3: label: expected a number, found \"four\"");
  test::write_text(folder / "a.tsv", "x\ty\t2.5\n");
  const Task task =
      test::load_task_of(folder, "{name: regression, train: a.tsv, header: false, text: 1, text_pair: 2, label: 3}");
  EXPECT_TRUE(task.regression());
  EXPECT_EQ(task.train[0].target, 2.5);
}

TEST(EncodedTest, SequenceCarriesTheTargetsOfItsTokens) {
  const ExampleView encoded(
      EncodedExamples{.encodings = {{.input_ids = {5, 6, 7}, .is_target = {0, 1, 1}}}, .targets = {0}});
  EXPECT_THAT(encoded.sequence(0, /*slot=*/2).is_target, testing::ElementsAre(0, 1, 1));
}

TEST(ExampleViewTest, PartsOfPartsLookAtTheSameExamplesAndCountTheirOwnPlaces) {
  EncodedExamples examples;
  for (int32_t i = 0; i < 6; ++i) {
    examples.encodings.push_back({.input_ids = std::vector<int32_t>(i + 1, i)});
    examples.targets.push_back(10.0 * i);
  }
  const ExampleView all(std::move(examples));
  const ExampleView odd = all.take(std::vector<int64_t>{1, 3, 5}), last = odd.take(std::vector<int64_t>{2, 0});
  EXPECT_THAT(last.targets(), testing::ElementsAre(50, 10));
  EXPECT_THAT(last.lengths(), testing::ElementsAre(6, 2));
  EXPECT_EQ(last.num_tokens(), 8);
  EXPECT_EQ(&last.encoding(0), &all.encoding(5));  // no copy
  const Sequence sequence = last.sequence(1, /*slot=*/4);
  EXPECT_EQ(sequence.input_ids, (std::vector<int32_t>{1, 1}));
  EXPECT_EQ(sequence.example, 1U);  // the key that dropout counts by
  EXPECT_EQ(ExampleView().size(), 0);
  EXPECT_TRUE(ExampleView().targets().empty());
}

}  // namespace
}  // namespace loraxs
