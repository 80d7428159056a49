// A request's head: what is accepted has a path and a query of plain UTF-8, one length at most, fields in lower case,
// and an id that may stand in a log; what is refused is refused with a status of its own. Whom a proxy names is an
// address, and nobody else names anybody.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "io/error.h"
#include "serve/api_error.h"
#include "serve/http/client_address.h"
#include "serve/http/request_head.h"

namespace {

using namespace loraxs;

/// "METHOD TARGET VERSION\nname: value\n…": line by line, so that any byte but a line's end comes into any place.
RawHead head_of_lines(std::string_view text) {
  RawHead head;
  const auto next = [&](char end) {
    const std::size_t at = std::min(text.find(end), text.size());
    const std::string part(text.substr(0, at));
    text.remove_prefix(std::min(at + 1, text.size()));
    return part;
  };
  head.method = next(' ');
  head.target = next(' ');
  head.version = next('\n') == "10" ? 10 : 11;
  while (!text.empty() && head.fields.size() <= 2 * kMostHeadFields) {
    std::string name = next(':');
    head.fields.emplace_back(std::move(name), next('\n'));
  }
  return head;
}

bool is_plain(const std::string& text) {
  return first_invalid_utf8(text) == std::string_view::npos &&
         std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void look_behind_proxy(const std::map<std::string, std::string>& headers) {
  static const TrustedProxies proxies({"127.0.0.1", "10.0.0.0/8", "2001:db8::/33"});
  static const auto proxy = boost::asio::ip::make_address("127.0.0.1"),
                    other = boost::asio::ip::make_address("8.8.8.8");
  if (proxies.client_of(other, headers) != other) std::abort();
  const auto client = proxies.client_of(proxy, headers);
  const bool says = headers.contains("x-forwarded-for") || headers.contains("forwarded");
  if (client != proxy && !says) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const RawHead raw = head_of_lines(std::string_view(reinterpret_cast<const char*>(data), size));
  try {
    const RequestHead head = read_request_head(raw);
    const HttpRequest& request = head.request;
    if (!is_plain(request.path) || (request.path != "*" && request.path.front() != '/')) std::abort();
    for (const auto& [name, value] : request.query) {
      if (!is_plain(name) || !is_plain(value)) std::abort();
    }
    if (request.headers.contains("content-length") && request.headers.contains("transfer-encoding")) std::abort();
    if (raw.version == 11 && !request.headers.contains("host")) std::abort();
    for (const auto& [name, value] : request.headers) {
      if (std::any_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) std::abort();
      if (value.find('\n') != std::string::npos || value.find('\0') != std::string::npos) std::abort();
    }
    if (const auto id = request.headers.find("x-request-id");
        id != request.headers.end() && !is_request_id(id->second)) {
      std::abort();
    }
    if (head.head_only != (raw.method == "HEAD")) std::abort();
    look_behind_proxy(request.headers);
  } catch (const ApiError& error) {
    if (error.status() < 400 || error.status() > 505 || std::string_view(error.what()).size() > kMessageBytes) {
      std::abort();
    }
  }
  return 0;
}
