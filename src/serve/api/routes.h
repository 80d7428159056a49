// serve/api/routes.h: OpenAI's API, vLLM's extensions of it and ours, over an engine and a gate.
#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "serve/answering.h"
#include "serve/gate.h"
#include "serve/http/exchange.h"

namespace loraxs {

struct RoutesOptions {
  std::function<std::string()> metrics;             // the text of /metrics
  std::function<int64_t()> now;                     // seconds since 1970
  std::function<std::string()> unique;              // 24 characters that no two requests share
  std::function<void(nlohmann::ordered_json)> log;  // a line of the access log; null: none
};

/// The handler of all routes. Both must outlive it.
HttpHandler make_routes(Answering& engine, Gate& gate, RoutesOptions options);

/// The API as an OpenAPI 3.1 document, as /openapi.json gives it.
nlohmann::ordered_json openapi_document();

}  // namespace loraxs
