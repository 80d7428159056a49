// serve/api/call.h: one call of a route: who asks, what it answers, and its line in the access log.
#pragma once
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "serve/answering.h"
#include "serve/api/body.h"
#include "serve/api/routes.h"
#include "serve/gate.h"
#include "serve/http/exchange.h"

namespace loraxs {

/// What all calls share.
struct Service {
  Answering& engine;
  Gate& gate;
  RoutesOptions options;
};

/// What left a route as the error that its client is told: a plain Error is a 400, anything unknown a 500 without its
/// text.
ApiError client_error(const std::exception& problem);

/// Not thread-safe: one thread at a time answers. The answer is one of reply(), fail(), gone(), or begin_events(),
/// event()… and end_events(); what comes after it is dropped.
class Call {
 public:
  Call(std::shared_ptr<const Service> service, std::shared_ptr<HttpExchange> exchange);

  Answering& engine() const { return service_->engine; }
  const Service& service() const { return *service_; }
  HttpExchange& exchange() const { return *exchange_; }
  const HttpRequest& request() const { return exchange_->request(); }
  const std::string& id() const { return id_; }  // 24 characters that no two requests share
  int64_t created() const { return created_; }   // seconds since 1970

  Caller caller;
  std::string route;  // "/v1/models/{model}"
  std::string rest;   // of the path: "anna/support"
  std::string model;  // for the log
  std::vector<std::pair<std::string, std::string>> error_headers;

  /// Counts the call, so many tokens at most and its adapters, against its tenant's quotas until it has ended.
  void admit(int64_t tokens, const std::vector<ServedModelPtr>& models);
  /// Tokens that the call used, so far.
  void used(int64_t prompt, int64_t cached, int64_t answer);
  void first_token();

  void reply(const nlohmann::ordered_json& body);
  void reply(HttpReply reply);
  void begin_events();
  void event(const nlohmann::ordered_json& data, const std::string& name = "");
  void end_events(bool done_mark);  // "[DONE]" before the end
  /// An error reply, or the error event that ends a stream: what client_error() makes of it.
  void fail(const std::exception& problem);
  /// The client went; nobody is told anything.
  void gone();

 private:
  using Clock = std::chrono::steady_clock;
  void finish(int status, const std::string& problem);

  std::shared_ptr<const Service> service_;
  std::shared_ptr<HttpExchange> exchange_;
  std::unique_ptr<Admission> admission_;
  std::string id_;
  int64_t created_ = 0;
  Clock::time_point start_ = Clock::now();
  double first_ms_ = -1;
  int64_t prompt_tokens_ = 0, cached_tokens_ = 0, answer_tokens_ = 0;
  bool streaming_ = false;
  bool finished_ = false;
};
using CallPtr = std::shared_ptr<Call>;

/// The model that `model` and `adapter` of a body name (answering.h). Throws ApiError 400 and 404.
ServedModelPtr requested_model(Call& call, Body& body);
/// The fields that it reads.
BodyFields model_fields();

/// A base of the other kind: ApiError 400.
void require_decoder(const Call& call);
void require_encoder(const Call& call);

}  // namespace loraxs
