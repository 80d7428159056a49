// Which tokens of a conversation count, against a mask found by changing one answer at a time
// (tests/oracles/make_masks.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "data/chat_record.h"
#include "data/language.h"
#include "io/error.h"
#include "support/fixed_time.h"
#include "text/tokenizer.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

std::filesystem::path masks_folder() {
  const char* oracles = std::getenv("LORAXS_ORACLES");
  if (oracles == nullptr) throw std::runtime_error("LORAXS_ORACLES is not set; run the tests through ctest");
  return std::filesystem::path(oracles) / "masks";
}

Task one_conversation(const Json& messages, TrainOn train_on) {
  Task task{.kind = TaskKind::kLanguageModel};
  task.train_on = train_on;
  task.train.push_back(read_chat_record({{"messages", messages}}, "masks.json", NeedsAnswer::kYes));
  return task;
}

/// The targets, where the first token, which nothing predicts, never is one.
std::vector<int> targets_of(const Json& mask) {
  auto targets = mask.get<std::vector<int>>();
  targets.front() = 0;
  return targets;
}

TEST(MasksTest, EqualThoseFoundByChangingOneAnswer) {
  std::ifstream file(masks_folder() / "masks.json");
  const Json oracle = Json::parse(file);
  const auto tokenizer = load_tokenizer(masks_folder());
  const TextEncoder encoder = text_encoder_of(*tokenizer);
  int64_t compared = 0, refused = 0;
  for (const Json& one : oracle["cases"]) {
    const std::string name = one["template"];
    SCOPED_TRACE(concat(name, " ", one["messages"].dump()));
    ChatTemplate chat(oracle["templates"][name].get<std::string>(), name);
    chat.now = test::fixed_time;
    const auto encode = [&](TrainOn train_on) {
      const Task task = one_conversation(one["messages"], train_on);
      return encode_language(encoder, task, task.train, /*max_length=*/100'000, &chat).encodings.at(0);
    };
    if (one.contains("error")) {
      EXPECT_THROW(encode(TrainOn::kAnswers), Error);
      ++refused;
      continue;
    }
    const auto check = [&](TrainOn train_on, const std::vector<int>& expected) {
      const Encoding found = encode(train_on);
      ASSERT_EQ(found.input_ids, one["ids"].get<std::vector<int32_t>>());
      EXPECT_EQ(std::vector<int>(found.is_target.begin(), found.is_target.end()), expected);
      ++compared;
    };
    check(TrainOn::kAnswers, targets_of(one["answers"]));
    if (one.contains("last")) check(TrainOn::kLast, targets_of(one["last"]));
    std::vector<int> all(one["ids"].size(), 1);
    all.front() = 0;
    check(TrainOn::kAll, all);
  }
  EXPECT_GE(compared, 600);
  EXPECT_GE(refused, 10);
}

/// With templates whose loop cannot be followed, and with conversations of many turns.
TEST(MasksTest, AreTheSameHoweverTheTemplateWalksThroughTheTurns) {
  const auto tokenizer = load_tokenizer(masks_folder());
  const TextEncoder encoder = text_encoder_of(*tokenizer);
  const std::string turn = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}";
  const ChatTemplate plain("{% for m in messages %}" + turn + "{% endfor %}", "plain");
  const ChatTemplate by_number(
      "{% for i in range(messages | length) %}{% set m = messages[i] %}" + turn + "{% endfor %}", "by number");
  const auto masks = [&](const ChatTemplate& chat, int pairs) {
    Json messages = Json::array();
    for (int i = 0; i < pairs; ++i) {
      messages.push_back({{"role", "user"}, {"content", concat("question ", i)}});
      messages.push_back({{"role", "assistant"}, {"content", concat("answer ", i, " of many")}});
    }
    const Task task = one_conversation(messages, TrainOn::kAnswers);
    return encode_language(encoder, task, task.train, 1'000'000, &chat).encodings.at(0).is_target;
  };
  EXPECT_EQ(masks(plain, 20), masks(by_number, 20));
  EXPECT_GT(masks(plain, 2000).size(), 20'000U);
  EXPECT_THROW(masks(by_number, 200), Error);
}

}  // namespace
}  // namespace loraxs
