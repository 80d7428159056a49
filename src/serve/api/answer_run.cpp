#include "serve/api/answer_run.h"

#include <utility>

#include "serve/api/answer_settings.h"

namespace loraxs {

void AnswerRun::start(std::vector<AnswerRequest> requests) {
  const std::shared_ptr<AnswerRun> self = shared_from_this();
  for (const AnswerRequest& request : requests) left_ += request.samples;
  call_->exchange().on_gone([weak = weak_from_this()] {
    if (const auto run = weak.lock()) run->client_gone();
  });
  int64_t first = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    AnswerRequest& request = requests[i];
    const auto prompt = static_cast<int64_t>(i);
    if (request.prompt_logprobs) {
      request.on_prompt = [self, prompt](std::vector<TokenInfo> tokens) {
        self->deliver(
            [self, prompt, tokens = std::move(tokens)] { self->form_->prompt(*self->call_, prompt, tokens); });
      };
    }
    request.on_piece = [self, first](AnswerPiece piece) {
      self->deliver([self, first, piece = std::move(piece)]() mutable {
        self->call_->first_token();
        const int64_t choice = first + piece.sample;
        self->form_->piece(*self->call_, choice, std::move(piece));
      });
    };
    request.on_end = [self, first](AnswerEnd end) {
      self->deliver([self, first, end = std::move(end)] { self->ended(first + end.sample, end); });
    };
    first += request.samples;
    bool cancel = false;
    try {
      const int64_t id = call_->engine().answer(std::move(request));
      const std::lock_guard lock(mutex_);
      ids_.push_back(id);
      cancel = gone_;
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        early_.clear();
      }
      cancel_all();
      throw;
    }
    if (cancel) cancel_all();
  }
  {
    const std::lock_guard lock(mutex_);
    open_ = true;
    perform([&] { form_->begin(*call_); });
    for (const std::function<void()>& step : std::exchange(early_, {})) {
      if (!closed_) perform(step);
    }
    if (!failed_) return;
  }
  cancel_all();
}

/// With the mutex.
void AnswerRun::perform(const std::function<void()>& step) {
  try {
    step();
  } catch (const std::exception& problem) {
    closed_ = failed_ = true;
    form_->fail(*call_, problem);
  }
}

void AnswerRun::deliver(std::function<void()> step) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    if (!open_) {
      early_.push_back(std::move(step));
      return;
    }
    perform(step);
    if (!failed_) return;
  }
  cancel_all();
}

/// With the mutex.
void AnswerRun::ended(int64_t choice, const AnswerEnd& end) {
  if (end.sample == 0) {
    used_.prompt += end.prompt_tokens;
    used_.cached += end.cached_tokens;
    call_->used(end.prompt_tokens, end.cached_tokens, 0);
  }
  used_.answer += end.answer_tokens;
  call_->used(0, 0, end.answer_tokens);
  --left_;
  if (!gone_) {
    if (end.problem) throw ApiError(*end.problem);
    if (end.reason == FinishReason::kCancelled) throw ApiError(503, "the server ended this answer; ask again");
    form_->end(*call_, choice, end);
  }
  if (left_ > 0) return;
  closed_ = true;
  if (gone_) {
    call_->gone();
  } else {
    form_->finish(*call_, used_);
  }
}

void AnswerRun::client_gone() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    gone_ = true;
  }
  cancel_all();
}

/// Without the mutex: the engine may end a request before it returns.
void AnswerRun::cancel_all() {
  std::vector<int64_t> ids;
  {
    const std::lock_guard lock(mutex_);
    ids = ids_;
  }
  for (const int64_t id : ids) call_->engine().cancel(id);
}

void run_answers(const CallPtr& call, const std::string& name, std::unique_ptr<AnswerForm> form,
                 std::vector<AnswerRequest> requests) {
  std::vector<ServedModelPtr> models;
  models.reserve(requests.size());
  for (AnswerRequest& request : requests) {
    request.name = name;
    models.push_back(request.model);
  }
  call->admit(most_tokens(*call, requests), models);
  std::make_shared<AnswerRun>(call, std::move(form))->start(std::move(requests));
}

}  // namespace loraxs
