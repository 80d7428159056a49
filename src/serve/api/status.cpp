// /health, /ready, /v1/state, /metrics and /openapi.json: how the server is.
#include <utility>

#include "io/json.h"
#include "serve/api/route.h"

namespace loraxs {
namespace {

void health(const CallPtr& call) { call->reply(nlohmann::ordered_json{{"status", "ok"}}); }

void ready(const CallPtr& call) {
  if (!call->engine().state().ready) throw ApiError(503, "the server is starting or draining", "", "not_ready");
  call->reply(nlohmann::ordered_json{{"status", "ready"}});
}

/// What the page shows. How busy the server is tells of all tenants: only who sees them all is told.
void state(const CallPtr& call) {
  const Answering& engine = call->engine();
  const EngineState now = engine.state();
  nlohmann::ordered_json reply = {{"ready", now.ready},
                                  {"model", now.model},
                                  {"precision", now.precision},
                                  {"context", engine.context()},
                                  {"generates", engine.generates()}};
  if (call->caller.sees_all) {
    reply["load"] = {{"running", now.running},
                     {"waiting", now.waiting},
                     {"resident_rows", now.resident_rows},
                     {"resident_capacity", now.resident_capacity},
                     {"row_loads", now.row_loads},
                     {"cache_blocks", now.cache_blocks},
                     {"free_blocks", now.free_blocks},
                     {"prompt_tokens", now.prompt_tokens},
                     {"cached_tokens", now.cached_tokens},
                     {"answer_tokens", now.answer_tokens},
                     {"steps", now.steps},
                     {"step_seconds", now.step_seconds}};
  }
  call->reply(reply);
}

void metrics(const CallPtr& call) {
  call->reply(
      HttpReply{.body = call->service().options.metrics(), .content_type = "text/plain; version=0.0.4; charset=utf-8"});
}

void openapi(const CallPtr& call) { call->reply(openapi_document()); }

const char* const kStatusSchema =
    R"({"type":"object","required":["status"],"properties":{"status":{"enum":["ok","ready"]}}})";

}  // namespace

std::vector<Route> status_routes() {
  return {{.method = "GET",
           .path = "/health",
           .handle = health,
           .summary = "Whether the process answers.",
           .answer = kStatusSchema},
          {.method = "GET",
           .path = "/ready",
           .handle = ready,
           .summary = "Whether it takes requests: 503 while it starts and while it drains.",
           .answer = kStatusSchema},
          {.method = "GET",
           .path = "/v1/state",
           .right = Right::kInfer,
           .handle = state,
           .summary = "The base, and for those who see every tenant how busy the server is.",
           .answer = R"({"type":"object","required":["ready","model","precision","context","generates"],"properties":)"
                     R"({"ready":{"type":"boolean"},"model":{"type":"string"},"precision":{"type":"string"},)"
                     R"("context":{"type":"integer"},"generates":{"type":"boolean"},"load":{"type":"object"}}})"},
          {.method = "GET",
           .path = "/metrics",
           .right = Right::kOperate,
           .handle = metrics,
           .summary = "Metrics for Prometheus.",
           .answer_type = "text/plain"},
          {.method = "GET",
           .path = "/openapi.json",
           .handle = openapi,
           .summary = "This document.",
           .answer = R"({"type":"object","required":["openapi","info","paths"]})"}};
}

}  // namespace loraxs
