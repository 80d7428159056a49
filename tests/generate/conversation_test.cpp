#include "generate/conversation.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace loraxs {
namespace {

/// One id per character of every turn.
std::vector<int32_t> encode(const std::vector<ChatTurn>& turns) {
  std::vector<int32_t> ids;
  for (const ChatTurn& turn : turns) ids.insert(ids.end(), turn.content.begin(), turn.content.end());
  return ids;
}

std::string text(const std::vector<int32_t>& ids) { return {ids.begin(), ids.end()}; }

TEST(ConversationTest, OldestTurnsGoFirstAndTheSystemTurnStays) {
  Conversation chat;
  chat.set_system("S");
  chat.add_user("aaaa");
  chat.add_assistant("bb");
  chat.add_user("cc");
  chat.add_assistant("dddd");
  chat.add_user("eee");
  EXPECT_EQ(text(chat.prompt(encode, 16)), "Saaaabbccddddeee");
  EXPECT_EQ(text(chat.prompt(encode, 15)), "Sccddddeee");  // a question goes with its answer
  EXPECT_EQ(text(chat.prompt(encode, 16)), "Sccddddeee");  // and does not come back
  EXPECT_EQ(text(chat.prompt(encode, 4)), "Seee");
  EXPECT_ERROR(chat.prompt(encode, 3),
               "expected a turn of at most 3 tokens with the template and the system turn, found 4");
  chat.drop_last();
  EXPECT_EQ(chat.turns().size(), 1U);
  chat.add_user("f");
  chat.set_system("");
  EXPECT_EQ(text(chat.prompt(encode, 1)), "f");
  chat.reset();
  EXPECT_TRUE(chat.turns().empty());
}

TEST(ConversationTest, AQuestionStandsAloneOrAfterASystemTurn) {
  EXPECT_EQ(question("", "q").size(), 1U);
  EXPECT_EQ(question("s", "q").front().role, "system");
}

}  // namespace
}  // namespace loraxs
