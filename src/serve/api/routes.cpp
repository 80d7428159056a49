#include "serve/api/routes.h"

#include <iterator>
#include <utility>

#include "io/fields.h"
#include "serve/api/route.h"

namespace loraxs {
namespace {

std::vector<Route> gathered() {
  std::vector<Route> routes;
  for (const auto family : {model_routes, chat_routes, completion_routes, response_routes, encoder_routes, token_routes,
                            lora_adapter_routes, status_routes, page_routes}) {
    std::vector<Route> rows = family();
    routes.insert(routes.end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
  }
  return routes;
}

/// What is behind the fixed part of a route's path, if the path is one of the route's.
std::optional<std::string> rest_of(const Route& route, const std::string& path) {
  const std::string_view pattern = route.path;
  const size_t brace = pattern.find('{');
  if (brace == std::string_view::npos) return path == pattern ? std::optional<std::string>("") : std::nullopt;
  if (path.size() <= brace || path.compare(0, brace, pattern, 0, brace) != 0) return std::nullopt;
  return path.substr(brace);
}

[[noreturn]] void unknown_path(const std::string& path) {
  std::vector<std::string> known;
  known.reserve(all_routes().size());
  for (const Route& route : all_routes()) known.emplace_back(route.path);
  const auto near = nearest_name(path, known);
  throw ApiError(404,
                 concat(shortened(path, 100), ": no such route",
                        near ? "; did you mean " + *near + "?" : "; /openapi.json lists them"),
                 "", "unknown_route");
}

void dispatch(const CallPtr& call) {
  const HttpRequest& request = call->request();
  std::string allowed;
  for (const Route& route : all_routes()) {
    std::optional<std::string> rest = rest_of(route, request.path);
    if (!rest) continue;
    call->route = route.path;
    if (request.method != route.method) {
      allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
      continue;
    }
    call->rest = std::move(*rest);
    if (route.right) call->caller = call->service().gate.check(request, *route.right);
    route.handle(call);
    return;
  }
  if (allowed.empty()) unknown_path(request.path);
  call->error_headers.emplace_back("Allow", allowed);
  throw ApiError(405, concat(call->route, ": expected the method ", allowed, ", found ", shortened(request.method, 20)),
                 "", "method_not_allowed");
}

}  // namespace

const std::vector<Route>& all_routes() {
  static const std::vector<Route> kRoutes = gathered();
  return kRoutes;
}

HttpHandler make_routes(Answering& engine, Gate& gate, RoutesOptions options) {
  const auto service = std::make_shared<const Service>(Service{engine, gate, std::move(options)});
  return [service](const std::shared_ptr<HttpExchange>& exchange) {
    const auto call = std::make_shared<Call>(service, exchange);
    try {
      dispatch(call);
    } catch (const std::exception& problem) {
      call->fail(problem);
    }
  };
}

}  // namespace loraxs
