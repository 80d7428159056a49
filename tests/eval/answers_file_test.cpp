#include "eval/answers_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "io/text_file.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

const Json kSettings = {{"task", "gsm8k"}, {"beams", 1}};

TEST(AnswersFileTest, GoesOnWhereItWasWhateverTheByteItEndedAt) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "answers.jsonl";
  {
    AnswersFile file(path, kSettings);
    file.append({{"index", 2}, {"answer", "a\nb"}});
    file.append({{"index", 0}, {"answer", "\xff"}});  // no UTF-8: replaced, not refused
  }
  const std::string whole = read_text_file(path);
  for (size_t length = 0; length <= whole.size(); ++length) {
    SCOPED_TRACE(length);
    const auto cut = folder.path() / "cut.jsonl";
    std::ofstream(cut, std::ios::binary) << whole.substr(0, length);
    {
      AnswersFile file(cut, kSettings);
      const auto lines = std::count(whole.begin(), whole.begin() + static_cast<long>(length), '\n');
      EXPECT_EQ(file.records().size(), static_cast<size_t>(std::max<int64_t>(0, lines - 1)));
      file.append({{"index", 7}});
    }
    EXPECT_EQ(AnswersFile(cut, kSettings).records().count(7), 1U);
  }
}

TEST(AnswersFileTest, RefusesOtherSettingsAndOtherFiles) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "answers.jsonl";
  { AnswersFile file(path, kSettings); }
  EXPECT_ERROR(AnswersFile(path, {{"task", "gsm8k"}, {"beams", 4}}),
               "answers.jsonl: beams: expected 1, with which these answers were begun, found 4");
  const auto other = folder.path() / "other.jsonl";
  for (const std::string text : {"{\"index\": 1}\n", "prose\n", "prose"}) {
    std::ofstream(other, std::ios::binary) << text;
    EXPECT_ERROR(AnswersFile(other, kSettings), "other.jsonl:1: expected {\"settings\": …}");
    EXPECT_EQ(read_text_file(other), text);  // nothing is lost
  }
  std::ofstream(other, std::ios::binary) << read_text_file(path) << "{\"index\": \n{\"index\": 3}\n";
  EXPECT_ERROR(AnswersFile(other, kSettings), "other.jsonl:2: expected a JSON object with \"index\"");
  EXPECT_ERROR(AnswersFile(folder.path() / "no" / "folder.jsonl", kSettings), "cannot open");
}

}  // namespace
}  // namespace loraxs
