// serve/http/wire.h: the bytes of one connection, plain or in TLS. Of Boost, for this folder's sources alone.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <cstddef>
#include <memory>
#include <utility>

namespace loraxs {

struct WireResult {
  boost::system::error_code error;
  std::size_t bytes = 0;
};

/// On the network's thread alone. One read and one write may be under way at a time.
class Wire {
 public:
  virtual ~Wire() = default;
  virtual boost::asio::awaitable<WireResult> handshake() = 0;
  virtual boost::asio::awaitable<WireResult> read_some(boost::asio::mutable_buffer into) = 0;
  virtual boost::asio::awaitable<WireResult> write(boost::asio::const_buffer bytes) = 0;  // all of them
  virtual boost::asio::awaitable<WireResult> say_end() = 0;  // nothing more will be written
  virtual void close() = 0;                                  // what is under way ends with an error
};

/// `tls`: null for a plain connection.
std::unique_ptr<Wire> make_wire(boost::asio::ip::tcp::socket socket, std::shared_ptr<boost::asio::ssl::context> tls);

}  // namespace loraxs
