// serve/http/client_address.h: whose request it is: the connection's other end, or the client that a trusted proxy
// names. Of Boost, for this folder's sources alone.
#pragma once
#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/api_error.h"

namespace loraxs {

/// An IPv4 address that came through an IPv6 socket is an IPv4 address.
boost::asio::ip::address plain_address(const boost::asio::ip::address& address);

/// Proxies whose word on their clients counts; others' is not read.
class TrustedProxies {
 public:
  /// Addresses, or networks as "10.0.0.0/8". Throws Error for what is neither.
  explicit TrustedProxies(const std::vector<std::string>& names);

  bool holds(const boost::asio::ip::address& address) const;
  /// Who asked, as the fields X-Forwarded-For or Forwarded (RFC 7239) of a request from `peer` say: the last one in
  /// them that is no trusted proxy, since what stands before it is the client's own word. `peer` where that is no
  /// trusted proxy, or names nobody. Throws ApiError 400 where a trusted proxy sends both fields: one of them is a
  /// client's.
  boost::asio::ip::address client_of(const boost::asio::ip::address& peer,
                                     const std::map<std::string, std::string>& headers) const;

 private:
  struct Network {
    boost::asio::ip::address address;
    unsigned bits = 0;  // that count
  };
  std::vector<Network> networks_;
};

/// How many connections, or requests through trusted proxies, each neighbourhood has. On the network's thread.
class AddressCounts {
 public:
  explicit AddressCounts(std::size_t most) : most_(most) {}
  /// Counts while it lives.
  class Lease {
   public:
    Lease(std::shared_ptr<std::map<std::string, std::size_t>> counts, std::string home);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    std::shared_ptr<std::map<std::string, std::size_t>> counts_;
    std::string home_;
  };

  /// Null where as many as may be are there.
  std::unique_ptr<Lease> take(const boost::asio::ip::address& address);
  ApiError refusal() const;  // what the client of one too many is told

 private:
  std::size_t most_;
  std::shared_ptr<std::map<std::string, std::size_t>> counts_ = std::make_shared<std::map<std::string, std::size_t>>();
};

}  // namespace loraxs
