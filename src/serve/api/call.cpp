#include "serve/api/call.h"

#include <utility>

#include "io/base64.h"
#include "io/json.h"
#include "serve/error_reply.h"

namespace loraxs {
namespace {

/// The connection's name of the request, which its answer bears as X-Request-Id.
std::string request_id(const HttpRequest& request) {
  const auto found = request.headers.find("x-request-id");
  return found == request.headers.end() ? "" : found->second;
}

constexpr int kClientGone = 499;  // nginx's number for it, in the log alone

}  // namespace

ApiError client_error(const std::exception& problem) {
  if (const auto* told = dynamic_cast<const ApiError*>(&problem)) return *told;
  if (dynamic_cast<const Error*>(&problem) != nullptr) return ApiError(400, problem.what());
  return ApiError(500, "the server made a mistake; its log says more");
}

Call::Call(std::shared_ptr<const Service> service, std::shared_ptr<HttpExchange> exchange)
    : service_(std::move(service)),
      exchange_(std::move(exchange)),
      id_(service_->options.unique()),
      created_(service_->options.now()) {}

void Call::admit(int64_t tokens, const std::vector<ServedModelPtr>& models) {
  Demand demand{.tokens = tokens, .bytes = static_cast<int64_t>(request().body.size())};
  for (const ServedModelPtr& each : models) {
    if (!each->key.empty()) demand.adapters.insert(each->key);
  }
  admission_ = service_->gate.admit(caller, demand);
}

void Call::used(int64_t prompt, int64_t cached, int64_t answer) {
  prompt_tokens_ += prompt;
  cached_tokens_ += cached;
  answer_tokens_ += answer;
}

void Call::first_token() {
  if (first_ms_ < 0) first_ms_ = std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
}

void Call::reply(const nlohmann::ordered_json& body) { reply(HttpReply{.body = json_text(body)}); }

void Call::reply(HttpReply reply) {
  if (finished_) return;
  const int status = reply.status;
  exchange_->reply(std::move(reply));
  finish(status, "");
}

void Call::begin_events() {
  if (finished_) return;
  streaming_ = true;
  exchange_->begin_events();
}

void Call::event(const nlohmann::ordered_json& data, const std::string& name) {
  if (!finished_) exchange_->event(json_text(data), name);
}

void Call::end_events(bool done_mark) {
  if (finished_) return;
  if (done_mark) exchange_->event("[DONE]");
  exchange_->end();
  finish(200, "");
}

void Call::fail(const std::exception& problem) {
  if (finished_) return;
  const ApiError error = client_error(problem);
  HttpReply reply = error_reply(error);
  if (streaming_) {
    exchange_->event(std::move(reply.body));
    exchange_->end();
  } else {
    reply.headers.insert(reply.headers.end(), error_headers.begin(), error_headers.end());
    exchange_->reply(std::move(reply));
  }
  // What a client did wrong may hold its texts, which no log shows; what the server did wrong stands there alone.
  finish(error.status(), error.status() == 500 ? problem.what() : "");
}

void Call::gone() { finish(kClientGone, ""); }

void Call::finish(int status, const std::string& problem) {
  if (finished_) return;
  finished_ = true;
  if (admission_) {
    admission_->used(prompt_tokens_ + answer_tokens_);
    admission_.reset();
  }
  if (!service_->options.log) return;
  const double ms = std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
  nlohmann::ordered_json line = {
      {"request", request_id(request())},
      {"id", id_},
      {"peer", request().peer},
      {"tenant", caller.tenant},
      {"method", request().method},
      {"route", route},
      {"model", model},
      {"status", status},
      {"prompt_tokens", prompt_tokens_},
      {"cached_tokens", cached_tokens_},
      {"answer_tokens", answer_tokens_},
      {"first_token_ms", first_ms_ < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(first_ms_)},
      {"ms", ms}};
  if (!problem.empty()) line["problem"] = problem;
  service_->options.log(std::move(line));
}

BodyFields model_fields() {
  return {
      {.name = "model",
       .kind = FieldKind::kText,
       .help = "\"base\", \"tenant/name\", \"tenant/name@7\", or a sum, \"0.5*anna/a + 0.5*anna/b\"",
       .required = true},
      {.name = "adapter",
       .kind = FieldKind::kText,
       .help =
           "an adapter file in base64, in the place of a stored one; model is then the base. Nothing of it is kept"}};
}

ServedModelPtr requested_model(Call& call, Body& body) {
  const std::string name = body.text("model");
  if (name.empty()) body.fail("model", "expected the name of a model, found none");
  ServedModelPtr found = call.engine().find(call.caller, name);
  if (body.has("adapter")) {
    if (!found->key.empty()) {
      body.fail("adapter", concat("expected \"model\": \"base\" beside it, found ", shown_value(name)));
    }
    try {
      found = call.engine().adopt(call.caller, decode_base64(body.text("adapter"), "request: adapter"));
    } catch (const ApiError&) {
      throw;
    } catch (const Error& error) {
      throw ApiError(400, error.what(), "adapter");
    }
  }
  call.model = found->id;
  return found;
}

void require_decoder(const Call& call) {
  if (call.engine().generates()) return;
  throw ApiError(400, concat(call.route, ": the base of this server, ", call.engine().base_name(),
                             ", is an encoder and writes no texts; ask /v1/classify or /v1/embeddings"));
}

void require_encoder(const Call& call) {
  if (!call.engine().generates()) return;
  throw ApiError(400, concat(call.route, ": the base of this server, ", call.engine().base_name(),
                             ", is a decoder and gives neither labels nor vectors; ask /v1/chat/completions"));
}

}  // namespace loraxs
