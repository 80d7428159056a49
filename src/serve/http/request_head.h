// serve/http/request_head.h: what a request's head must be beyond its grammar, which Beast parses. Without Boost.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/http/exchange.h"

namespace loraxs {

inline constexpr std::size_t kMostHeadFields = 100;

/// A head as it came: names and values without the white space around them, in their order.
struct RawHead {
  std::string method, target;
  int version = 11;  // 11: HTTP/1.1
  std::vector<std::pair<std::string, std::string>> fields;
};

struct RequestHead {
  HttpRequest request;  // without body and peer; HEAD reads as GET; "x-request-id" holds the client's if it is usable
  bool head_only = false;
  bool keep_alive = true;
  bool expects_continue = false;
};

/// Throws ApiError. 400: what two readers could understand in two ways (RFC 9112, section 11.2: both lengths, one of
/// them twice, codings before chunked), a missing or double Host, control characters, a target that does not decode;
/// 405, 417, 431, 501, 505.
RequestHead read_request_head(const RawHead& head);

/// "/v1/models/a%20b?limit=2" -> path, query. The path and the query are decoded to UTF-8 without control characters
/// (in the query '+' is a space); a name that stands twice is an error. Throws ApiError 400.
void read_target(std::string_view target, HttpRequest& request);

/// Whether an id that a client chose may stand in our answer and log: 1 to 128 letters, digits, '-', '_', '.'.
[[nodiscard]] bool is_request_id(std::string_view id);

}  // namespace loraxs
