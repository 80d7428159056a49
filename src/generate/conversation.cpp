#include "generate/conversation.h"

#include <algorithm>

#include "io/error.h"

namespace loraxs {

std::vector<ChatTurn> question(const std::string& system, const std::string& text) {
  Conversation conversation;
  conversation.set_system(system);
  conversation.add_user(text);
  return conversation.turns();
}

std::vector<ChatTurn> Conversation::turns() const {
  std::vector<ChatTurn> all;
  if (!system_.empty()) all.push_back({.role = "system", .content = system_});
  all.insert(all.end(), turns_.begin(), turns_.end());
  return all;
}

std::vector<int32_t> Conversation::prompt(const Encode& encode, int64_t limit) {
  while (true) {
    std::vector<int32_t> ids = encode(turns());
    if (static_cast<int64_t>(ids.size()) <= limit) return ids;
    const auto next_user =
        std::find_if(turns_.begin() + 1, turns_.end(), [](const ChatTurn& turn) { return turn.role == "user"; });
    if (next_user == turns_.end()) {
      throw Error(concat("chat: expected a turn of at most ", limit,
                         " tokens with the template and the system turn, found ", ids.size(),
                         "; shorten it, or give a larger context (-c)"));
    }
    turns_.erase(turns_.begin(), next_user);
  }
}

}  // namespace loraxs
