// tests/serve/http_client.h: a client on a raw socket, and a server whose handlers the test holds in its hand.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "io/error.h"
#include "serve/api_error.h"
#include "serve/http/server.h"

namespace loraxs::test {

constexpr auto kPatience = std::chrono::seconds(20);

/// Waits until `holds` does.
template <typename Condition>
bool eventually(Condition holds) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

class RawClient {
 public:
  explicit RawClient(uint16_t port, int receive_bytes = 0) {
    descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_bytes > 0) ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const int yes = 1;
    ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
    ::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    connected_ = ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  int descriptor() const { return descriptor_; }
  bool connected() const { return connected_; }
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }
  /// From now on as a machine that lost its network: whatever comes is dropped before TCP sees it, and nothing is
  /// acknowledged.
  bool vanish() {
    sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog all{.len = 1, .filter = &drop};
    return ::setsockopt(descriptor_, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all) == 0;
  }
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// Reads until `mark` has come; what came, without what the mark of an earlier call took. Short at the end of input.
  std::string until(const std::string& mark) {
    std::size_t at = 0;
    while ((at = input_.find(mark)) == std::string::npos) {
      if (!more()) return std::exchange(input_, {});
    }
    std::string out = input_.substr(0, at + mark.size());
    input_.erase(0, out.size());
    return out;
  }
  /// Reads to the end of input.
  std::string rest() {
    while (more()) {
    }
    return std::exchange(input_, {});
  }
  /// The server has closed; what it still said is dropped.
  bool ends() {
    rest();
    return ended_;
  }

  struct Reply {
    int status = 0;
    std::string head, body;
  };
  /// One answer, with a length.
  Reply reply(bool has_body = true) {
    Reply reply{.status = 0, .head = until("\r\n\r\n"), .body = {}};
    if (reply.head.size() > 12) reply.status = std::atoi(reply.head.c_str() + 9);
    const std::size_t at = reply.head.find("Content-Length: ");
    if (!has_body || at == std::string::npos) return reply;
    const auto length = static_cast<std::size_t>(std::atoll(reply.head.c_str() + at + 16));
    while (input_.size() < length && more()) {
    }
    reply.body = input_.substr(0, length);
    input_.erase(0, reply.body.size());
    return reply;
  }
  Reply get(const std::string& target) {
    send(concat("GET ", target, " HTTP/1.1\r\nHost: x\r\n\r\n"));
    return reply();
  }

 private:
  bool more() {
    char piece[8192];
    const ssize_t count = ::recv(descriptor_, piece, sizeof piece, 0);
    if (count == 0 || (count < 0 && errno == ECONNRESET)) ended_ = true;
    if (count <= 0) return false;
    input_.append(piece, static_cast<std::size_t>(count));
    return true;
  }
  int descriptor_ = -1;
  bool connected_ = false, ended_ = false;
  std::string input_;
};

/// "/echo" answers at once, "/throw/…" throws, "/lost" lets go; every other request waits in hand until the test takes
/// it.
class HeldServer {
 public:
  struct Held {
    std::shared_ptr<HttpExchange> exchange;
    std::shared_ptr<std::atomic<int>> gone = std::make_shared<std::atomic<int>>(0);
  };

  explicit HeldServer(HttpServerOptions options = {}) {
    options.log = [this](LogLevel, const std::string& line) {
      const std::lock_guard lock(mutex_);
      lines_.push_back(line);
    };
    options.answered = [this](const HttpRecord& record) {
      const std::lock_guard lock(mutex_);
      records_.push_back(record);
    };
    server = std::make_unique<HttpServer>(std::move(options),
                                          [this](const std::shared_ptr<HttpExchange>& exchange) { handle(exchange); });
  }
  ~HeldServer() { server.reset(); }

  uint16_t port() const { return server->port(); }
  Held take() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return !held_.empty(); })) ADD_FAILURE() << "no request came";
    if (held_.empty()) return {};
    Held first = std::move(held_.front());
    held_.erase(held_.begin());
    return first;
  }
  std::vector<HttpRecord> records() const {
    const std::lock_guard lock(mutex_);
    return records_;
  }
  std::string log() const {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const std::string& line : lines_) all += line + "\n";
    return all;
  }
  bool empties() const {
    return eventually([&] { return server->state().connections == 0; });
  }

  std::unique_ptr<HttpServer> server;

 private:
  void handle(const std::shared_ptr<HttpExchange>& exchange) {
    const HttpRequest& request = exchange->request();
    if (request.path == "/echo") {
      std::string body = concat(request.method, " ", request.path, " ", request.body.size(), " ", request.peer);
      for (const auto& [name, value] : request.query) body += concat(" ", name, "=", value);
      exchange->reply({.body = body, .content_type = "text/plain", .headers = {{"X-Also", "a\r\nX-Smuggled: b"}}});
      return;
    }
    if (request.path == "/throw/api") {
      ApiError error(429, "too much", "model", "slow_down");
      error.retry_after = 7;
      throw error;
    }
    if (request.path == "/throw/error") throw Error("a.json: expected x");
    if (request.path == "/throw/other") throw std::runtime_error("secret");
    if (request.path == "/lost") return;
    Held held{.exchange = exchange};
    exchange->on_gone([gone = held.gone] { ++*gone; });
    const std::lock_guard lock(mutex_);
    held_.push_back(std::move(held));
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Held> held_;
  std::vector<HttpRecord> records_;
  std::vector<std::string> lines_;
};

}  // namespace loraxs::test
