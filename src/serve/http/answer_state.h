// serve/http/answer_state.h: an answer between the threads that make it and the connection that sends it.
#pragma once
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "serve/http/exchange.h"

namespace loraxs {

/// Any thread makes the answer; one, the network's, takes what is ready and sends it. Calls out of order, and all after
/// the answer's end, are dropped.
class AnswerState {
 public:
  /// `most_unsent` bytes of events may wait for a client that does not read. `notify`: something is ready; must not
  /// call back; not called any more once the connection has let go.
  AnswerState(std::size_t most_unsent, std::function<void()> notify);

  // Makers.
  bool reply(HttpReply reply);  // false: dropped
  void begin_events();
  void event(const std::string& data, const std::string& name);
  void end();
  void abort();  // nobody will end it: the connection is cut, so that the client notices
  void on_gone(std::function<void()> call);

  // The network's thread.
  struct Ready {
    std::optional<HttpReply> reply;
    bool events = false;  // they have begun
    std::string text;     // of events, to be sent
    bool ended = false;   // nothing comes after `text`
    bool cut = false;     // aborted: not even its end is sent
  };
  Ready take();
  [[nodiscard]] bool unread();   // more than `most_unsent` waits
  void sent(std::size_t bytes);  // of the text taken
  /// The connection lets go: nothing is notified or kept any more. Before the answer's end this is the client's going,
  /// and what is returned is to be called, on another thread; else null.
  [[nodiscard]] std::function<void()> let_go();

 private:
  enum class Stage { kOpen, kEvents, kEnded };
  void wake();  // with the lock held

  const std::size_t most_unsent_;
  std::mutex mutex_;
  std::function<void()> notify_, on_gone_;
  Stage stage_ = Stage::kOpen;
  std::optional<HttpReply> reply_;
  std::string text_;
  std::size_t in_flight_ = 0;
  bool events_ = false, notified_ = false, aborted_ = false, unread_ = false, left_ = false, went_ = false;
};

}  // namespace loraxs
