// generate/conversation.h: a chat's turns, cut to what fits the context.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace loraxs {

struct ChatTurn {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

/// One question, with a system turn if `system` is not empty.
std::vector<ChatTurn> question(const std::string& system, const std::string& text);

/// Belongs to one thread.
class Conversation {
 public:
  /// Ids of a rendered conversation, ready for the answer.
  using Encode = std::function<std::vector<int32_t>(const std::vector<ChatTurn>&)>;

  /// Replaces the system turn; empty takes it away.
  void set_system(const std::string& text) { system_ = text; }
  const std::string& system() const { return system_; }
  void add_user(const std::string& text) { turns_.push_back({.role = "user", .content = text}); }
  void add_assistant(const std::string& text) { turns_.push_back({.role = "assistant", .content = text}); }
  /// Takes the last user's turn back, after a turn that could not be answered.
  void drop_last() { turns_.pop_back(); }
  void reset() { turns_.clear(); }

  /// The prompt of the next answer in at most `limit` tokens. Where it does not fit, the oldest turns are dropped, a
  /// user's turn together with its answer; the system turn and the last user's turn stay. Throws Error if these alone
  /// do not fit.
  std::vector<int32_t> prompt(const Encode& encode, int64_t limit);

  std::vector<ChatTurn> turns() const;  // the system turn first

 private:
  std::string system_;
  std::vector<ChatTurn> turns_;
};

}  // namespace loraxs
