// serve/api/answer_run.h: the answers of one call, under way: pieces come from the engine, a form makes events or one
// reply of them.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/answering.h"
#include "serve/api/call.h"

namespace loraxs {

struct TokensUsed {
  int64_t prompt = 0, cached = 0, answer = 0;
};

/// How a route shows its answers. A choice is a sample of a prompt: prompt · samples + sample. One thread at a time.
class AnswerForm {
 public:
  virtual ~AnswerForm() = default;
  virtual void begin(Call& call) = 0;  // all prompts are queued
  virtual void prompt(Call& call, int64_t prompt, const std::vector<TokenInfo>& tokens) = 0;
  virtual void piece(Call& call, int64_t choice, AnswerPiece piece) = 0;
  virtual void end(Call& call, int64_t choice, const AnswerEnd& end) = 0;
  virtual void finish(Call& call, const TokensUsed& used) = 0;  // all have ended
  /// An answer failed: the call's own way, unless the route has another one.
  virtual void fail(Call& call, const std::exception& problem) { call.fail(problem); }
};

/// Lives as long as the engine holds one of its requests. Callbacks come on the engine's thread, also while start() is
/// still queueing: they wait until the form has begun. A client that goes cancels what is left.
class AnswerRun : public std::enable_shared_from_this<AnswerRun> {
 public:
  AnswerRun(CallPtr call, std::unique_ptr<AnswerForm> form) : call_(std::move(call)), form_(std::move(form)) {}

  /// Queues them all, or none: throws what the engine says. Each has its callbacks from here.
  void start(std::vector<AnswerRequest> requests);

 private:
  void deliver(std::function<void()> step);
  void perform(const std::function<void()>& step);
  void ended(int64_t choice, const AnswerEnd& end);
  void client_gone();
  void cancel_all();

  CallPtr call_;
  std::unique_ptr<AnswerForm> form_;
  std::mutex mutex_;  // of all below, and of the form
  std::vector<std::function<void()>> early_;
  std::vector<int64_t> ids_;
  TokensUsed used_;
  int64_t left_ = 0;  // choices that have not ended
  bool open_ = false, closed_ = false, gone_ = false, failed_ = false;
};

/// Admits the requests, calls them `name` and starts them.
void run_answers(const CallPtr& call, const std::string& name, std::unique_ptr<AnswerForm> form,
                 std::vector<AnswerRequest> requests);

}  // namespace loraxs
