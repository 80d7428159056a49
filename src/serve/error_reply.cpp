#include "serve/error_reply.h"

#include "io/json.h"

namespace loraxs {
namespace {

struct StatusType {
  int status;
  const char* type;
};
// Others: below 500 a request that is wrong, as OpenAI calls an unknown model too; from there on ours.
constexpr StatusType kStatusTypes[] = {
    {401, "authentication_error"}, {403, "permission_error"}, {429, "rate_limit_error"}};

const char* type_of_status(int status) {
  for (const StatusType& row : kStatusTypes) {
    if (row.status == status) return row.type;
  }
  constexpr int kServersOwn = 500;
  return status < kServersOwn ? "invalid_request_error" : "server_error";
}

nlohmann::ordered_json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(text);
}

}  // namespace

HttpReply error_reply(const ApiError& error) {
  const nlohmann::ordered_json body = {{"error",
                                        {{"message", error.what()},
                                         {"type", type_of_status(error.status())},
                                         {"param", text_or_null(error.param())},
                                         {"code", text_or_null(error.code())}}}};
  HttpReply reply{.status = error.status(), .body = json_text(body)};
  if (error.retry_after > 0) reply.headers.emplace_back("Retry-After", std::to_string(error.retry_after));
  constexpr int kUnauthorized = 401;
  if (error.status() == kUnauthorized) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  return reply;
}

}  // namespace loraxs
