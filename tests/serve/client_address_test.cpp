// Whose request it is: what a trusted proxy says, and nobody else.
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "serve/http/server.h"
#include "serve/http_client.h"
#include "support/expect_error.h"

namespace loraxs {
namespace {

using test::eventually;
using test::HeldServer;
using test::RawClient;

/// Asks with fields of a proxy.
RawClient::Reply asked_through(RawClient& client, const std::string& target, const std::string& fields) {
  client.send(concat("GET ", target, " HTTP/1.1\r\nHost: x\r\n", fields, "\r\n"));
  return client.reply();
}

struct ProxyCase {
  const char *fields, *client;
};

TEST(ClientAddressTest, TrustedProxiesTellWhoAsks) {
  HeldServer held({.trusted_proxies = {"127.0.0.1", "10.0.0.0/9", "2001:db8:1::/48"}});
  const ProxyCase cases[] = {
      {"", "127.0.0.1"},
      {"X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"},
      {"x-forwarded-for: 203.0.113.7:4711\r\n", "203.0.113.7"},
      // What stands before the last address that is no proxy is the client's own word.
      {"X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n", "203.0.113.7"},
      {"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"},
      {"X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.127.0.1\r\n", "203.0.113.7"},
      {"X-Forwarded-For: 198.51.100.1, 10.128.0.1\r\n", "10.128.0.1"},  // beside the network
      {"X-Forwarded-For: 198.51.100.1, unknown\r\n", "127.0.0.1"},
      {"X-Forwarded-For: 198.51.100.1,\r\n", "127.0.0.1"},
      {"X-Forwarded-For: 10.1.1.1\r\n", "10.1.1.1"},
      {"X-Forwarded-For: ::ffff:203.0.113.7\r\n", "203.0.113.7"},
      {"X-Forwarded-For: 2001:db8:2::5, 2001:db8:1::9\r\n", "2001:db8:2::5"},
      {"X-Forwarded-For: 1.2.3.4'--\r\n", "127.0.0.1"},
      {"Forwarded: for=203.0.113.7;proto=https\r\n", "203.0.113.7"},
      {"Forwarded: proto=https; For=\"[2001:db8:2::5]:80\", for=10.0.0.2\r\n", "2001:db8:2::5"},
      {"Forwarded: for=198.51.100.1, for=_hidden\r\n", "127.0.0.1"},
      {"Forwarded: by=198.51.100.1\r\n", "127.0.0.1"},
  };
  RawClient client(held.port());
  for (const auto& [fields, expected] : cases) {
    EXPECT_EQ(asked_through(client, "/echo", fields).body, concat("GET /echo 0 ", expected)) << fields;
  }
  EXPECT_TRUE(eventually([&] { return held.records().size() == std::size(cases); }));
  EXPECT_EQ(held.records()[1].peer, "203.0.113.7");
  const RawClient::Reply both =
      asked_through(client, "/echo", "X-Forwarded-For: 203.0.113.7\r\nForwarded: for=198.51.100.1\r\n");
  EXPECT_EQ(both.status, 400);
  EXPECT_NE(both.body.find("found both"), std::string::npos);
  for (const char* wrong : {"proxy.example", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8 ", "", "::1/129"}) {
    EXPECT_ERROR(HttpServer({.trusted_proxies = {wrong}}, {}), "--trusted-proxy: expected an address");
  }
}

TEST(ClientAddressTest, OthersAreNotBelieved) {
  for (const std::vector<std::string>& trusted : {std::vector<std::string>{}, {"127.0.0.2", "10.0.0.0/8", "::1"}}) {
    HeldServer held({.trusted_proxies = trusted, .limits = {.address_connections = 2}});
    RawClient client(held.port());
    for (const char* fields :
         {"X-Forwarded-For: 203.0.113.7\r\n", "Forwarded: for=203.0.113.7\r\n",
          "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=203.0.113.7\r\n", "X-Real-IP: 203.0.113.7\r\n"}) {
      EXPECT_EQ(asked_through(client, "/echo", fields).body, "GET /echo 0 127.0.0.1") << fields;
    }
    // Nor do other names make room for more connections.
    RawClient second(held.port()), third(held.port());
    EXPECT_EQ(asked_through(second, "/echo", "X-Forwarded-For: 203.0.113.8\r\n").status, 200);
    EXPECT_EQ(asked_through(third, "/echo", "X-Forwarded-For: 203.0.113.9\r\n").status, 429);
  }
}

TEST(ClientAddressTest, ClientsBehindAProxyAreBoundedAndItIsNot) {
  HeldServer held({.trusted_proxies = {"127.0.0.1"}, .limits = {.address_connections = 2}});
  std::vector<std::unique_ptr<RawClient>> clients;
  std::vector<HeldServer::Held> under_way;
  for (int i = 0; i < 8; ++i) {  // two of each of four clients
    clients.push_back(std::make_unique<RawClient>(held.port()));
    clients.back()->send(concat("GET /hold HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.", i / 2, "\r\n\r\n"));
    under_way.push_back(held.take());
    ASSERT_TRUE(under_way.back().exchange);
  }
  RawClient one_more(held.port());
  const RawClient::Reply refused = asked_through(one_more, "/echo", "X-Forwarded-For: 203.0.113.0\r\n");
  EXPECT_EQ(refused.status, 429);
  EXPECT_NE(refused.head.find("Retry-After: 1"), std::string::npos);
  RawClient another(held.port());
  EXPECT_EQ(asked_through(another, "/echo", "X-Forwarded-For: 198.51.100.1, 203.0.113.77\r\n").status, 200);
  // A client that changes what it says of itself is the same one.
  EXPECT_EQ(asked_through(another, "/echo", "X-Forwarded-For: 198.51.100.2, 203.0.113.0\r\n").status, 429);
  under_way[0].exchange->reply({});
  clients[0]->reply();
  RawClient again(held.port());
  EXPECT_EQ(asked_through(again, "/echo", "X-Forwarded-For: 203.0.113.0\r\n").status, 200);
  for (std::size_t i = 1; i < under_way.size(); ++i) under_way[i].exchange->reply({});
  clients.clear();
}

}  // namespace
}  // namespace loraxs
