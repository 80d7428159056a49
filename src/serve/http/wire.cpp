#include "serve/http/wire.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace loraxs {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
constexpr auto kResult = asio::as_tuple(asio::use_awaitable);

template <typename Stream>
asio::awaitable<WireResult> read_some_of(Stream& stream, asio::mutable_buffer into) {
  const auto [error, bytes] = co_await stream.async_read_some(into, kResult);
  co_return WireResult{error, bytes};
}

template <typename Stream>
asio::awaitable<WireResult> write_to(Stream& stream, asio::const_buffer bytes) {
  const auto [error, count] = co_await asio::async_write(stream, bytes, kResult);
  co_return WireResult{error, count};
}

void close_socket(tcp::socket& socket) {
  boost::system::error_code ignored;
  socket.close(ignored);
}

class PlainWire final : public Wire {
 public:
  explicit PlainWire(tcp::socket socket) : socket_(std::move(socket)) {}
  asio::awaitable<WireResult> handshake() override { co_return WireResult{}; }
  asio::awaitable<WireResult> read_some(asio::mutable_buffer into) override { return read_some_of(socket_, into); }
  asio::awaitable<WireResult> write(asio::const_buffer bytes) override { return write_to(socket_, bytes); }
  asio::awaitable<WireResult> say_end() override {
    WireResult result;
    socket_.shutdown(tcp::socket::shutdown_send, result.error);
    co_return result;
  }
  void close() override { close_socket(socket_); }

 private:
  tcp::socket socket_;
};

class TlsWire final : public Wire {
 public:
  TlsWire(tcp::socket socket, std::shared_ptr<asio::ssl::context> tls)
      : tls_(std::move(tls)), stream_(std::move(socket), *tls_) {}
  asio::awaitable<WireResult> handshake() override {
    const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kResult);
    co_return WireResult{error};
  }
  asio::awaitable<WireResult> read_some(asio::mutable_buffer into) override { return read_some_of(stream_, into); }
  asio::awaitable<WireResult> write(asio::const_buffer bytes) override { return write_to(stream_, bytes); }
  asio::awaitable<WireResult> say_end() override {
    const auto [error] = co_await stream_.async_shutdown(kResult);
    co_return WireResult{error};
  }
  void close() override { close_socket(stream_.next_layer()); }

 private:
  const std::shared_ptr<asio::ssl::context> tls_;  // the server may have another one by now
  asio::ssl::stream<tcp::socket> stream_;
};

}  // namespace

std::unique_ptr<Wire> make_wire(tcp::socket socket, std::shared_ptr<asio::ssl::context> tls) {
  if (tls == nullptr) return std::make_unique<PlainWire>(std::move(socket));
  return std::make_unique<TlsWire>(std::move(socket), std::move(tls));
}

}  // namespace loraxs
