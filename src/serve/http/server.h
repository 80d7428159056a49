// serve/http/server.h: an HTTP/1.1 server with a limit on everything that a client can make large or slow.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/log.h"
#include "serve/http/exchange.h"

namespace loraxs {

struct HttpLimits {
  std::size_t header_bytes = std::size_t{16} << 10;   // of a request's head: 431
  std::size_t body_bytes = std::size_t{8} << 20;      // of a request's body: 413
  std::size_t all_body_bytes = std::size_t{1} << 30;  // of all bodies at once: 503
  double header_seconds = 10;               // for a whole head, from its first byte (TLS: and for the handshake): 408
  double body_seconds = 30;                 // for a whole body: 408
  double idle_seconds = 75;                 // of a connection between requests: closed
  double write_seconds = 30;                // for 64 KB to be taken by the client: closed
  double linger_seconds = 2;                // for a client to take our last words before the socket is closed
  double comment_seconds = 15;              // a stream of events with nothing to say says a comment
  double vanished_seconds = 30;             // of silence of a client's machine, bytes or probes under way: closed
  std::size_t connections = 10'000;         // in all: 503
  std::size_t address_connections = 4'000;  // of one IPv4 address or IPv6 network of 64 bits: 429
  std::size_t stream_bytes = std::size_t{1} << 20;  // of events that a client has not read: closed
  std::size_t kernel_bytes = std::size_t{256}
                             << 10;  // of the kernel's buffer of a connection beside them; 0: its own choice
};

/// What became of a request, for the log and the counts.
struct HttpRecord {
  std::string id;                                  // X-Request-Id
  std::string method, path;                        // empty where the request could not be read
  std::string peer;                                // the client, where a trusted proxy names one
  int status = 0;                                  // 0: the client went before there was one
  bool whole = false;                              // the answer was sent to its end
  std::size_t request_bytes = 0, reply_bytes = 0;  // of the bodies
  double seconds = 0;                              // from the whole request to the end of the answer
};

struct HttpServerOptions {
  std::string address = "127.0.0.1";     // or a name; "::" takes IPv4 too
  uint16_t port = 0;                     // 0: any, port() tells
  std::string tls_certificate, tls_key;  // PEM files, both or none; the certificate with those that sign it
  /// Addresses, or networks as "10.0.0.0/8", whose X-Forwarded-For or Forwarded tells who asks: the client counts and
  /// stands in the log, and the proxy is not bounded. Others' fields are not read.
  std::vector<std::string> trusted_proxies;
  HttpLimits limits;
  LogSink log;                                             // faults of handlers and of the network, any thread
  std::function<void(const HttpRecord& record)> answered;  // on the network's thread: be quick
};

struct HttpServerState {
  std::size_t connections = 0;  // open ones
  std::size_t requests = 0;     // whose answers have not ended
};

/// One thread for the network, two for handlers. What a handler throws: ApiError with its status, another Error 400,
/// anything else 500, whose text goes to the log alone. A handler that lets an exchange go without an answer: 500.
class HttpServer {
 public:
  /// Listens when it returns. Throws Error: address in use or unknown, TLS files that cannot be read, a trusted proxy
  /// that is no address.
  HttpServer(HttpServerOptions options, HttpHandler handler);
  ~HttpServer();  // closes what is open: each answer under way sees its client go
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] uint16_t port() const;
  [[nodiscard]] std::vector<std::string> addresses() const;  // "127.0.0.1:8000", "[::1]:8000"
  [[nodiscard]] HttpServerState state() const;               // any thread

  /// Reads the TLS files again, for connections from now on; those that are open go on with what they have. Nothing
  /// without TLS. Throws Error where they cannot be used: what was in use stays. Any thread.
  void reload_tls();

  /// Accepts nobody any more, closes connections that wait, lets answers under way end; what is left after `seconds` is
  /// closed. Whether nothing was left.
  bool drain(double seconds);

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace loraxs
