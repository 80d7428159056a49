// serve/api/route.h: the table of routes: one row for each, and its description for /openapi.json beside what it does.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "serve/api/body.h"
#include "serve/api/call.h"
#include "serve/gate.h"

namespace loraxs {

struct Route {
  const char* method;
  const char* path;            // "/v1/models/{model}": the name in braces takes what is left, slashes included
  std::optional<Right> right;  // none: open to all
  void (*handle)(const CallPtr& call);
  const char* summary;
  BodyFields (*body)() = nullptr;  // of a JSON body
  std::string answer;              // JSON schema of a 200; empty: not JSON
  const char* answer_type = "application/json";
  const char* parameters = "[]";  // of the query, OpenAPI's objects
  bool streams = false;           // server-sent events with "stream": true
};

// One family of routes in each file.
std::vector<Route> chat_routes();
std::vector<Route> completion_routes();
std::vector<Route> response_routes();
std::vector<Route> encoder_routes();
std::vector<Route> model_routes();
std::vector<Route> token_routes();
std::vector<Route> lora_adapter_routes();
std::vector<Route> status_routes();
std::vector<Route> page_routes();

const std::vector<Route>& all_routes();

}  // namespace loraxs
