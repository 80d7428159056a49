// serve/http/exchange.h: one HTTP request and its answer, whatever carries them.
#pragma once
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace loraxs {

struct HttpRequest {
  std::string method;                          // "GET"
  std::string path;                            // percent-decoded, without the query: "/v1/models/anna/support"
  std::map<std::string, std::string> query;    // percent-decoded
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string peer;  // the client's address
};

struct HttpReply {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;  // more of them
};

/// Any thread may answer, in order: reply() once; or begin_events(), event()…, end(). What comes after the client has
/// gone is dropped.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual const HttpRequest& request() const = 0;

  virtual void reply(HttpReply reply) = 0;
  /// Status 200 and text/event-stream; comments keep it open while nothing comes.
  virtual void begin_events() = 0;
  /// One server-sent event: `data` on lines of its own, below its name unless that is empty.
  virtual void event(std::string data, const std::string& name = "") = 0;
  virtual void end() = 0;

  /// Called once, on another thread, when the client goes before the answer has ended; at once if it has gone already.
  virtual void on_gone(std::function<void()> call) = 0;
};

/// Called on one of the server's threads for each request whose body is whole; several at a time. What it throws is the
/// server's own fault (500).
using HttpHandler = std::function<void(const std::shared_ptr<HttpExchange>&)>;

}  // namespace loraxs
