#include "serve/api/encode_run.h"

#include <utility>

namespace loraxs {
namespace {

/// Lives as long as the engine holds one of its requests.
class EncodeRun : public std::enable_shared_from_this<EncodeRun> {
 public:
  EncodeRun(CallPtr call, EncodedReply reply, size_t models, int64_t tokens)
      : call_(std::move(call)), reply_(std::move(reply)), outputs_(models), left_(models), tokens_(tokens) {}

  void start(const std::string& name, const EncodeJob& job) {
    call_->exchange().on_gone([weak = weak_from_this()] {
      if (const auto run = weak.lock()) run->client_gone();
    });
    for (size_t i = 0; i < job.models.size(); ++i) {
      EncodeRequest request;
      request.name = name;
      request.caller = call_->caller;
      request.model = job.models[i];
      request.inputs = job.inputs;
      request.embed = job.embed;
      request.on_done = [self = shared_from_this(), i](std::vector<std::vector<float>> outputs,
                                                       const std::optional<ApiError>& problem) {
        self->done(i, std::move(outputs), problem);
      };
      try {
        const int64_t id = call_->engine().encode(std::move(request));
        const std::lock_guard lock(mutex_);
        ids_.push_back(id);
      } catch (...) {
        close_and_cancel();
        throw;
      }
    }
    const bool late = [&] {
      const std::lock_guard lock(mutex_);
      return gone_ || closed_;
    }();
    if (late) cancel_all();
  }

 private:
  void done(size_t model, std::vector<std::vector<float>> outputs, const std::optional<ApiError>& problem) {
    bool cancel = false;
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      --left_;
      outputs_[model] = std::move(outputs);
      if (problem && !gone_) {
        closed_ = cancel = true;
        call_->fail(*problem);
      } else if (left_ == 0) {
        closed_ = true;
        answer();
      }
    }
    if (cancel) cancel_all();
  }

  void answer() {
    if (gone_) return call_->gone();
    try {
      call_->first_token();
      call_->used(tokens_, 0, 0);
      call_->reply(reply_(outputs_));
    } catch (const std::exception& problem) {
      call_->fail(problem);
    }
  }

  void client_gone() {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      gone_ = true;
    }
    cancel_all();
  }

  void close_and_cancel() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    cancel_all();
  }

  void cancel_all() {
    std::vector<int64_t> ids;
    {
      const std::lock_guard lock(mutex_);
      ids = ids_;
    }
    for (const int64_t id : ids) call_->engine().cancel(id);
  }

  CallPtr call_;
  EncodedReply reply_;
  std::mutex mutex_;  // of all below
  std::vector<std::vector<std::vector<float>>> outputs_;
  std::vector<int64_t> ids_;
  size_t left_;
  int64_t tokens_;
  bool closed_ = false, gone_ = false;
};

}  // namespace

void run_encode(const CallPtr& call, const std::string& name, const EncodeJob& job, EncodedReply reply) {
  int64_t tokens = 0;
  for (const std::vector<int32_t>& input : job.inputs) tokens += static_cast<int64_t>(input.size());
  tokens *= static_cast<int64_t>(job.models.size());
  call->admit(tokens, job.models);
  std::make_shared<EncodeRun>(call, std::move(reply), job.models.size(), tokens)->start(name, job);
}

}  // namespace loraxs
