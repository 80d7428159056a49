#include "serve/http/server.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "io/error.h"
#include "serve/http/connection.h"

namespace loraxs {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
constexpr int kFull = 503;

std::string endpoint_text(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? concat('[', address, "]:", endpoint.port())
                                    : concat(address, ':', endpoint.port());
}

/// The process may hold `files` more, as far as the system allows.
void allow_files(std::size_t files) {
  constexpr rlim_t kOthers = 256;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= files + kOthers) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, files + kOthers);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// A machine that went without a word (no FIN, no RST) acknowledges nothing: neither bytes nor, where there are none to
/// send, probes. Either ends the connection by an error.
void watch_for_vanished(tcp::socket& socket, double seconds) {
  constexpr int kProbes = 3;
  const auto set = [&](int level, int name, int value) {
    ::setsockopt(socket.native_handle(), level, name, &value, sizeof value);
  };
  const int probe_seconds = std::max(1, static_cast<int>(seconds / (kProbes + 1)));
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, probe_seconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, probe_seconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, kProbes);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(seconds * 1000));
}

std::shared_ptr<asio::ssl::context> make_tls(const HttpServerOptions& options) {
  if (options.tls_certificate.empty() && options.tls_key.empty()) return nullptr;
  if (options.tls_certificate.empty() || options.tls_key.empty()) {
    throw Error("TLS: expected a certificate and its key, found one of them; give both or none");
  }
  auto tls = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  tls->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                   asio::ssl::context::no_tlsv1_1 | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(tls->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  boost::system::error_code error;
  tls->use_certificate_chain_file(options.tls_certificate, error);
  if (error) {
    throw Error(concat(options.tls_certificate, ": expected a certificate in PEM form, found: ", error.message()));
  }
  tls->use_private_key_file(options.tls_key, asio::ssl::context::pem, error);
  if (error) {
    throw Error(concat(options.tls_key,
                       ": expected the certificate's key in PEM form, without a password, found: ", error.message()));
  }
  return tls;
}

}  // namespace

class HttpServer::Core {
 public:
  Core(HttpServerOptions options, HttpHandler handler) : shared_(std::move(options), std::move(handler)) {
    tls_ = make_tls(shared_.options);
    allow_files(shared_.options.limits.connections);
    listen();
    for (tcp::acceptor& each : acceptors_) {
      asio::co_spawn(shared_.network, accept_on(each), asio::detached);
    }
    asio::co_spawn(shared_.network, tick(), asio::detached);
    // Signals are for the thread that waits for them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { shared_.network.run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~Core() {  // NOLINT(bugprone-exception-escape): without memory for a message there is no orderly end
    asio::post(shared_.network, [this] {
      stop_accepting();
      stopped_ = true;
      ticks_.cancel();
      close_all();
    });
    thread_.join();  // when the last connection has ended
    shared_.handlers.join();
  }

  bool drain(double seconds) {
    asio::post(shared_.network, [this] {
      stop_accepting();
      shared_.draining = true;
      for (Connection* each : connections_) each->drain();
    });
    std::unique_lock lock(mutex_);
    const bool all =
        none_left_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return !accepts_ && open_ == 0; });
    if (all) return true;
    asio::post(shared_.network, [this] { close_all(); });
    none_left_.wait(lock, [&] { return !accepts_ && open_ == 0; });
    return false;
  }

  void reload_tls() {
    auto tls = make_tls(shared_.options);
    asio::post(shared_.network, [this, tls = std::move(tls)] { tls_ = tls; });
  }

  uint16_t port() const { return port_; }
  std::vector<std::string> addresses() const { return addresses_; }
  HttpServerState state() const {
    const std::lock_guard lock(mutex_);
    return {.connections = open_, .requests = shared_.requests.load()};
  }

 private:
  void listen() {
    const HttpServerOptions& options = shared_.options;
    boost::system::error_code error;
    tcp::resolver resolver(shared_.network);
    const auto found = resolver.resolve(options.address, std::to_string(options.port),
                                        tcp::resolver::passive | tcp::resolver::numeric_service, error);
    if (error) {
      throw Error(concat(options.address, ": expected an address of this machine, found: ", error.message(),
                         "; 127.0.0.1 serves this machine alone, 0.0.0.0 or :: everybody"));
    }
    port_ = options.port;
    acceptors_.reserve(found.size());
    for (const auto& entry : found) {
      tcp::endpoint endpoint(entry.endpoint().address(), port_);
      tcp::acceptor acceptor(shared_.network);
      acceptor.open(endpoint.protocol(), error);
      if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
      if (!error && endpoint.address().is_v6()) {
        acceptor.set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), error);
      }
      if (!error) acceptor.bind(endpoint, error);
      if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
      if (error) fail_to_listen(endpoint, error);
      port_ = acceptor.local_endpoint().port();
      addresses_.push_back(endpoint_text(acceptor.local_endpoint()));
      acceptors_.push_back(std::move(acceptor));
    }
  }

  [[noreturn]] static void fail_to_listen(const tcp::endpoint& endpoint, const boost::system::error_code& error) {
    const char* hint = "";
    if (error == asio::error::address_in_use) hint = "; another program listens there: end it, or take another port";
    if (error == asio::error::access_denied) hint = "; ports below 1024 need a privilege: take another one";
    if (error == boost::system::errc::address_not_available) hint = "; it is no address of this machine";
    throw Error(concat(endpoint_text(endpoint), ": cannot listen: ", error.message(), hint));
  }

  void stop_accepting() {
    boost::system::error_code ignored;
    for (tcp::acceptor& each : acceptors_) each.close(ignored);
    const std::lock_guard lock(mutex_);
    accepts_ = false;
    none_left_.notify_all();
  }

  void close_all() {
    for (Connection* each : connections_) each->close();
    for (Connection* each : refusals_) each->close();
  }

  asio::awaitable<void> accept_on(tcp::acceptor& acceptor) {
    while (acceptor.is_open()) {
      tcp::socket socket(shared_.network);
      const auto [error] = co_await acceptor.async_accept(socket, asio::as_tuple(asio::use_awaitable));
      if (!acceptor.is_open()) break;
      if (!error) {
        take(std::move(socket));
        continue;
      }
      shared_.warn(concat("cannot accept a connection: ", error.message()));
      constexpr auto kPause = std::chrono::milliseconds(50);  // no file is free: some time passes until one is
      asio::steady_timer pause(shared_.network, kPause);
      co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    }
  }

  void take(tcp::socket socket) {
    boost::system::error_code error;
    const tcp::endpoint endpoint = socket.remote_endpoint(error);
    if (error) return;  // gone already
    const HttpLimits& limits = shared_.options.limits;
    const asio::ip::address address = plain_address(endpoint.address());
    std::optional<ApiError> refusal;
    if (connections_.size() >= limits.connections) {
      refusal.emplace(kFull, "the server has no connection free").retry_after = 1;
    }
    std::shared_ptr<AddressCounts::Lease> counted;  // the clients of a proxy count, not the proxy
    if (!shared_.proxies.holds(address)) {
      counted = shared_.addresses.take(address);
      if (!counted) refusal = shared_.addresses.refusal();
    }
    // Said without TLS alone, and to a few at a time: refusing must cost less than serving.
    constexpr std::size_t kMostRefused = 64;
    if (refusal && (tls_ != nullptr || refused_ >= kMostRefused)) return;
    socket.set_option(tcp::no_delay(true), error);
    watch_for_vanished(socket, limits.vanished_seconds);
    if (limits.kernel_bytes > 0) {
      socket.set_option(asio::socket_base::send_buffer_size(static_cast<int>(limits.kernel_bytes)), error);
    }
    const bool counts = !refusal;
    if (!counts) {
      counted.reset();
      ++refused_;
    }
    auto connection =
        std::make_shared<Connection>(shared_, make_wire(std::move(socket), tls_), address, std::move(refusal));
    (counts ? connections_ : refusals_).insert(connection.get());
    opened(1);
    connection->start([this, counted = std::move(counted), counts, key = connection.get()]() mutable {
      if (counts) {
        connections_.erase(key);
        counted.reset();
      } else {
        refusals_.erase(key);
        --refused_;
      }
      opened(-1);
    });
  }

  void opened(int change) {
    const std::lock_guard lock(mutex_);
    open_ += static_cast<std::size_t>(change);
    if (open_ == 0) none_left_.notify_all();
  }

  // Deadlines of all connections. Twenty looks within the shortest, but not more than ten a second.
  asio::awaitable<void> tick() {
    const HttpLimits& limits = shared_.options.limits;
    constexpr double kLooks = 20, kLongest = 0.1, kShortest = 0.001;
    const double shortest = std::min({limits.header_seconds, limits.body_seconds, limits.idle_seconds,
                                      limits.write_seconds, limits.linger_seconds, limits.comment_seconds});
    const auto pause = std::chrono::duration_cast<Connection::Clock::duration>(
        std::chrono::duration<double>(std::clamp(shortest / kLooks, kShortest, kLongest)));
    while (!stopped_) {
      ticks_.expires_after(pause);
      co_await ticks_.async_wait(asio::as_tuple(asio::use_awaitable));
      const auto now = Connection::Clock::now();
      for (Connection* each : connections_) each->tick(now);
      for (Connection* each : refusals_) each->tick(now);
    }
  }

  HttpShared shared_;
  std::vector<tcp::acceptor> acceptors_;
  std::vector<std::string> addresses_;
  uint16_t port_ = 0;
  asio::steady_timer ticks_{shared_.network};
  // Of the network's thread.
  std::set<Connection*> connections_, refusals_;
  std::shared_ptr<asio::ssl::context> tls_;  // of connections to come; null: none
  std::size_t refused_ = 0;
  bool stopped_ = false;

  mutable std::mutex mutex_;
  std::condition_variable none_left_;
  std::size_t open_ = 0;  // connections and refusals
  bool accepts_ = true;
  std::thread thread_;
};

HttpServer::HttpServer(HttpServerOptions options, HttpHandler handler)
    : core_(std::make_unique<Core>(std::move(options), std::move(handler))) {}
HttpServer::~HttpServer() = default;
uint16_t HttpServer::port() const { return core_->port(); }
std::vector<std::string> HttpServer::addresses() const { return core_->addresses(); }
HttpServerState HttpServer::state() const { return core_->state(); }
void HttpServer::reload_tls() { core_->reload_tls(); }
bool HttpServer::drain(double seconds) { return core_->drain(seconds); }

}  // namespace loraxs
