// A request's head: what two readers could understand in two ways is refused.
#include "serve/http/request_head.h"

#include <gtest/gtest.h>

#include "serve/api_error.h"
#include "support/expect_error.h"

namespace loraxs {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

RequestHead read(const std::string& target, Fields fields = {}, int version = 11, const std::string& method = "GET") {
  if (version == 11) fields.emplace_back("Host", "localhost");
  return read_request_head({.method = method, .target = target, .version = version, .fields = std::move(fields)});
}

int status_of(const std::string& target, const Fields& fields = {}, int version = 11, const char* method = "GET") {
  try {
    read(target, fields, version, method);
  } catch (const ApiError& error) {
    return error.status();
  }
  return 200;
}

TEST(RequestHeadTest, TargetsDecode) {
  const HttpRequest request = read("/v1/models/anna%2Fa%20b+c?limit=2&after=x%26+y&flag&u=%C3%A9").request;
  EXPECT_EQ(request.path, "/v1/models/anna/a b+c");
  const std::map<std::string, std::string> query = {{"limit", "2"}, {"after", "x& y"}, {"flag", ""}, {"u", "é"}};
  EXPECT_EQ(request.query, query);
  EXPECT_EQ(read("http://host:1/a?b=1").request.path, "/a");
  EXPECT_EQ(read("http://host").request.path, "/");
  EXPECT_EQ(read("/a?b=http://x/").request.query.at("b"), "http://x/");
  EXPECT_EQ(read("*", {}, 11, "OPTIONS").request.path, "*");
}

TEST(RequestHeadTest, TargetsThatDoNotDecodeAreRefused) {
  for (const char* target :
       {"/%", "/%4", "/%zz", "/%00", "/%0a", "/%ff", "/a?%g1=2", "/a?b=%00", "a", "", "/a?b=1&b=2"}) {
    EXPECT_EQ(status_of(target), 400) << target;
  }
  EXPECT_ERROR(read("/%zz"), "expected two hexadecimal digits behind %, found %zz");
}

TEST(RequestHeadTest, LengthsAreSaidOnce) {
  EXPECT_EQ(status_of("/", {{"Content-Length", "5"}}), 200);
  EXPECT_EQ(status_of("/", {{"Transfer-Encoding", "Chunked"}}), 200);
  EXPECT_EQ(status_of("/", {{"Content-Length", "5"}, {"content-length", "5"}}), 400);
  EXPECT_EQ(status_of("/", {{"Content-Length", "5, 5"}}), 400);
  EXPECT_EQ(status_of("/", {{"Content-Length", "+5"}}), 400);
  EXPECT_EQ(status_of("/", {{"Content-Length", ""}}), 400);
  EXPECT_EQ(status_of("/", {{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}}), 400);
  EXPECT_EQ(status_of("/", {{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}), 400);
  EXPECT_EQ(status_of("/", {{"Transfer-Encoding", "gzip, chunked"}}), 501);
  EXPECT_EQ(status_of("/", {{"Transfer-Encoding", "chunked"}}, 10), 400);
}

TEST(RequestHeadTest, FieldsThatStandTwiceAreJoinedOrRefused) {
  EXPECT_EQ(read("/", {{"Accept", "a"}, {"ACCEPT", "b"}}).request.headers.at("accept"), "a, b");
  EXPECT_EQ(read("/", {{"Cookie", "a"}, {"cookie", "b"}}).request.headers.at("cookie"), "a; b");
  EXPECT_EQ(status_of("/", {{"Authorization", "Bearer a"}, {"authorization", "Bearer b"}}), 400);
  EXPECT_EQ(status_of("/", {{"host", "other"}}), 400);
  EXPECT_EQ(status_of("/", {{"X", "a\x01"}}), 400);
  EXPECT_EQ(status_of("/", Fields(101, {"X", "a"})), 431);
  EXPECT_EQ(status_of("/", Fields(99, {"X", "a"})), 200);
}

TEST(RequestHeadTest, ConnectionsStayAsAsked) {
  EXPECT_TRUE(read("/").keep_alive);
  EXPECT_FALSE(read("/", {{"Connection", "foo,  Close"}}).keep_alive);
  EXPECT_FALSE(read("/", {}, 10).keep_alive);
  EXPECT_TRUE(read("/", {{"Connection", "Keep-Alive"}}, 10).keep_alive);
  EXPECT_TRUE(read("/", {{"Expect", "100-Continue"}}).expects_continue);
  EXPECT_FALSE(read("/", {{"Expect", "100-continue"}}, 10).expects_continue);
  EXPECT_EQ(status_of("/", {{"Expect", "tea"}}), 417);
  EXPECT_EQ(status_of("/", {}, 20), 505);
  EXPECT_EQ(status_of("/", {}, 11, "CONNECT"), 501);
  EXPECT_EQ(read("/", {}, 11, "HEAD").request.method, "GET");
  EXPECT_TRUE(read("/", {}, 11, "HEAD").head_only);
}

TEST(RequestHeadTest, IdsOfClientsAreKeptIfTheyAreHarmless) {
  EXPECT_EQ(read("/", {{"X-Request-Id", "a-1.b_2"}}).request.headers.at("x-request-id"), "a-1.b_2");
  EXPECT_FALSE(read("/", {{"X-Request-Id", "a b"}}).request.headers.contains("x-request-id"));
  EXPECT_FALSE(read("/", {{"X-Request-Id", std::string(129, 'a')}}).request.headers.contains("x-request-id"));
}

}  // namespace
}  // namespace loraxs
