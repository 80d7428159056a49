// serve/http/connection.h: one connection: requests in, one after the other, answers out. Of Boost, for this folder's
// sources alone.
#pragma once
#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serve/api_error.h"
#include "serve/http/answer_state.h"
#include "serve/http/client_address.h"
#include "serve/http/request_head.h"
#include "serve/http/server.h"
#include "serve/http/wire.h"

namespace loraxs {

/// What all connections of a server share. On the network's thread but for what says otherwise.
struct HttpShared {
  explicit HttpShared(HttpServerOptions given, HttpHandler handle)
      : options(std::move(given)),
        handler(std::move(handle)),
        proxies(options.trusted_proxies),
        addresses(options.limits.address_connections) {}
  const HttpServerOptions options;
  const HttpHandler handler;  // any thread
  const TrustedProxies proxies;
  AddressCounts addresses;
  boost::asio::io_context network{1};
  boost::asio::thread_pool handlers{kHandlerThreads};  // any thread
  std::size_t body_bytes = 0;                          // of requests that are read or answered
  bool draining = false;
  std::atomic<std::size_t> requests{0};  // whose answers have not ended

  void warn(const std::string& line) const {  // any thread
    if (options.log) options.log(LogLevel::kWarning, line);
  }
  static constexpr std::size_t kHandlerThreads = 2;
};

/// Two coroutines: one reads whatever comes, at any time, and so sees the client go; the other takes requests from what
/// was read and writes answers. Deadlines are times that tick() compares with the clock.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;
  /// `refusal`: all that the client will be told.
  Connection(HttpShared& shared, std::unique_ptr<Wire> wire, const boost::asio::ip::address& peer,
             std::optional<ApiError> refusal);

  void start(std::function<void()> ended);  // `ended`: once, when everything is closed
  void tick(Clock::time_point now);
  void drain();  // ends now if no request is under way
  void close();  // ends now

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  struct Request;
  class BodyBytes;
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> read_on();
  boost::asio::awaitable<void> serve();
  enum class Next { kGoesOn, kEnds, kCut };
  boost::asio::awaitable<Next> serve_one();
  boost::asio::awaitable<bool> first_byte();
  boost::asio::awaitable<bool> read_head(Request& request);
  void look_behind_proxy(Request& request) const;
  boost::asio::awaitable<bool> read_body(Request& request);
  boost::asio::awaitable<bool> fill(Parser& parser);
  boost::asio::awaitable<bool> answer(Request& request);
  void hand_over(HttpRequest request);
  void look_at_answer();
  boost::asio::awaitable<bool> send_answer(Request& request);
  boost::asio::awaitable<bool> send_events_head(Request& request);
  boost::asio::awaitable<bool> send_text(Request& request, std::string text);
  boost::asio::awaitable<bool> send_reply(Request& request, const HttpReply& reply);
  boost::asio::awaitable<bool> write(std::string_view bytes);
  boost::asio::awaitable<void> linger();
  boost::asio::awaitable<void> wait();
  void wake();
  std::size_t unread() const { return input_.size() - taken_; }
  bool over() const { return closed_ || input_ended_; }
  void client_went();
  std::string head_of(Request& request, int status, std::string_view content_type) const;

  HttpShared& shared_;
  std::unique_ptr<Wire> wire_;
  const boost::asio::ip::address address_;
  const std::string peer_;
  std::optional<ApiError> refusal_;
  boost::asio::steady_timer woken_, space_;  // conditions: cancelled when they hold
  bool wake_pending_ = false;
  static constexpr std::size_t kReadBytes = 4096;
  std::array<char, kReadBytes> piece_;
  std::string input_;  // what was read; from taken_ on the parser has not seen it
  std::size_t taken_ = 0, most_input_ = 0;
  bool input_ended_ = false, discards_ = false, closed_ = false, late_ = false, waits_ = true, starting_ = true;
  Clock::time_point read_until_ = Clock::time_point::max(), write_until_ = Clock::time_point::max(),
                    comment_at_ = Clock::time_point::max();
  std::shared_ptr<AnswerState> answer_;  // of the request under way
};

}  // namespace loraxs
