#include "serve/http/handling.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "io/error.h"
#include "serve/error_reply.h"
#include "serve/http/connection.h"

namespace loraxs {
namespace {

constexpr int kWrongRequest = 400, kOwnFault = 500;

/// What a handler holds: the request, and the answer's end that makers use.
class Exchange final : public HttpExchange {
 public:
  Exchange(HttpRequest request, std::shared_ptr<AnswerState> answer, const HttpShared& shared)
      : request_(std::move(request)), answer_(std::move(answer)), log_(shared.options.log) {}
  ~Exchange() override {
    const bool lost = answer_->reply(error_reply(ApiError(kOwnFault, "this request was lost; please try again")));
    if (lost && log_) log_(LogLevel::kWarning, concat(request_.path, ": let go without an answer"));
    answer_->abort();
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const HttpRequest& request() const override { return request_; }
  void reply(HttpReply reply) override { answer_->reply(std::move(reply)); }
  void begin_events() override { answer_->begin_events(); }
  void event(std::string data, const std::string& name) override { answer_->event(data, name); }
  void end() override { answer_->end(); }
  void on_gone(std::function<void()> call) override { answer_->on_gone(std::move(call)); }

 private:
  const HttpRequest request_;
  const std::shared_ptr<AnswerState> answer_;
  const LogSink log_;
};

/// An error that a handler threw becomes its answer; where events have begun already, the connection is cut.
void answer_error(AnswerState& answer, const ApiError& error) {
  if (!answer.reply(error_reply(error))) answer.abort();
}

void run_handler(const HttpShared& shared, const std::shared_ptr<HttpExchange>& exchange, AnswerState& answer) {
  const ApiError fault(kOwnFault, "the server failed to answer; its log says why");
  try {
    shared.handler(exchange);
  } catch (const ApiError& error) {
    answer_error(answer, error);
  } catch (const Error& error) {
    answer_error(answer, ApiError(kWrongRequest, error.what()));
  } catch (const std::exception& error) {
    shared.warn(concat(exchange->request().path, ": internal error: ", error.what()));
    answer_error(answer, fault);
  } catch (...) {
    shared.warn(concat(exchange->request().path, ": internal error of an unknown kind"));
    answer_error(answer, fault);
  }
}

}  // namespace

void handle_request(HttpShared& shared, HttpRequest request, std::shared_ptr<AnswerState> answer) {
  std::shared_ptr<HttpExchange> exchange = std::make_shared<Exchange>(std::move(request), answer, shared);
  boost::asio::post(shared.handlers, [&shared, exchange = std::move(exchange), answer = std::move(answer)]() mutable {
    run_handler(shared, exchange, *answer);
    exchange.reset();
  });
}

}  // namespace loraxs
