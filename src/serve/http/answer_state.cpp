#include "serve/http/answer_state.h"

#include <string_view>
#include <utility>

namespace loraxs {
namespace {

/// An event as the stream carries it; every line of `data` stands behind a "data: " of its own.
std::string event_text(std::string_view data, std::string_view name) {
  constexpr std::size_t kAround = 32;
  std::string out;
  out.reserve(data.size() + name.size() + kAround);
  if (!name.empty()) out.append("event: ").append(name.substr(0, name.find_first_of("\r\n"))).append("\n");
  while (true) {
    const std::size_t end = data.find_first_of("\r\n");
    out.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    const bool pair = data.substr(end, 2) == "\r\n";
    data.remove_prefix(end + (pair ? 2 : 1));
  }
  return out.append("\n");
}

}  // namespace

AnswerState::AnswerState(std::size_t most_unsent, std::function<void()> notify)
    : most_unsent_(most_unsent), notify_(std::move(notify)) {}

void AnswerState::wake() {
  if (notified_ || !notify_) return;
  notified_ = true;
  notify_();
}

bool AnswerState::reply(HttpReply reply) {
  std::function<void()> dropped;  // destroyed without the lock: it may hold anything
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kOpen) return false;
  stage_ = Stage::kEnded;
  std::swap(dropped, on_gone_);
  if (left_) return false;
  reply_ = std::move(reply);
  wake();
  return true;
}

void AnswerState::begin_events() {
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kOpen) return;
  stage_ = Stage::kEvents;
  events_ = true;
  wake();
}

void AnswerState::event(const std::string& data, const std::string& name) {
  const std::string text = event_text(data, name);
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kEvents || left_ || unread_) return;
  if (text_.size() + in_flight_ + text.size() > most_unsent_) {
    unread_ = true;
    text_.clear();
    notified_ = false;  // what was notified of waits behind a write that does not end
  } else {
    text_ += text;
  }
  wake();
}

void AnswerState::end() {
  std::function<void()> dropped;
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kEvents) return;
  stage_ = Stage::kEnded;
  std::swap(dropped, on_gone_);
  wake();
}

void AnswerState::abort() {
  std::function<void()> dropped;
  const std::lock_guard lock(mutex_);
  if (stage_ == Stage::kEnded) return;
  stage_ = Stage::kEnded;
  aborted_ = true;
  std::swap(dropped, on_gone_);
  wake();
}

void AnswerState::on_gone(std::function<void()> call) {
  {
    const std::lock_guard lock(mutex_);
    if (stage_ == Stage::kEnded) return;
    if (!left_) {
      std::swap(on_gone_, call);  // one that stood there is destroyed without the lock
      return;
    }
    if (went_) return;
    went_ = true;
  }
  call();
}

AnswerState::Ready AnswerState::take() {
  const std::lock_guard lock(mutex_);
  notified_ = false;
  Ready ready{.reply = std::move(reply_),
              .events = events_,
              .text = std::exchange(text_, {}),
              .ended = stage_ == Stage::kEnded,
              .cut = aborted_ || unread_};
  reply_.reset();
  in_flight_ += ready.text.size();
  return ready;
}

bool AnswerState::unread() {
  const std::lock_guard lock(mutex_);
  return unread_;
}

void AnswerState::sent(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  in_flight_ -= bytes;
}

std::function<void()> AnswerState::let_go() {
  std::function<void()> notify, call;
  const std::lock_guard lock(mutex_);
  if (left_) return nullptr;
  left_ = true;
  std::swap(notify, notify_);
  reply_.reset();
  text_.clear();
  if (stage_ == Stage::kEnded) return nullptr;
  std::swap(call, on_gone_);
  went_ = call != nullptr;
  return call;
}

}  // namespace loraxs
