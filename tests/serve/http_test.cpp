// The HTTP server: what it carries, and that nothing a client makes large, slow or wrong keeps others from being
// served.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "serve/http/server.h"
#include "serve/http_client.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using test::eventually;
using test::HeldServer;
using test::RawClient;

TEST(HttpTest, AnswersStayInOrderOnOneConnection) {
  HeldServer held;
  RawClient client(held.port());
  RawClient::Reply reply = client.get("/echo?a=1%202");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "GET /echo 0 127.0.0.1 a=1 2");
  EXPECT_NE(reply.head.find("X-Request-Id: "), std::string::npos);
  EXPECT_NE(reply.head.find("X-Also: a  X-Smuggled: b\r\n"), std::string::npos) << reply.head;
  // Pipelined: three requests at once, one with a body, one in chunks, the last a HEAD.
  client.send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;e=1\r\ndefg\r\n0\r\n\r\n"
      "HEAD /echo HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine-1\r\n\r\n");
  EXPECT_EQ(client.reply().body, "POST /echo 5 127.0.0.1");
  EXPECT_EQ(client.reply().body, "POST /echo 7 127.0.0.1");
  reply = client.reply(/*has_body=*/false);
  EXPECT_NE(reply.head.find("Content-Length: 21\r\n"), std::string::npos) << reply.head;
  EXPECT_NE(reply.head.find("X-Request-Id: mine-1\r\n"), std::string::npos) << reply.head;
  EXPECT_EQ(client.get("/echo").status, 200);
  EXPECT_TRUE(eventually([&] { return held.records().size() == 5; }));
  const std::vector<HttpRecord> records = held.records();
  ASSERT_EQ(records.size(), 5U);
  EXPECT_EQ(records[1].request_bytes, 5U);
  EXPECT_EQ(records[3].method, "HEAD");
  EXPECT_EQ(records[3].id, "mine-1");
  EXPECT_TRUE(records[3].whole);
}

TEST(HttpTest, ConnectionsCloseWhenAsked) {
  HeldServer held;
  RawClient closing(held.port()), old(held.port()), old_kept(held.port());
  closing.send("GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_NE(closing.reply().head.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(closing.ends());
  old.send("GET /echo HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.reply().status, 200);
  EXPECT_TRUE(old.ends());
  old_kept.send("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_NE(old_kept.reply().head.find("Connection: keep-alive"), std::string::npos);
  EXPECT_EQ(old_kept.get("/echo").status, 200);
}

TEST(HttpTest, BodiesAreAskedForBeforeTheyAreSent) {
  HeldServer held({.limits = {.body_bytes = 1000}});
  RawClient client(held.port());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.reply().status, 100);
  client.send("abc");
  EXPECT_EQ(client.reply().body, "POST /echo 3 127.0.0.1");
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.reply().status, 413);
}

TEST(HttpTest, ErrorsReadAsOpenAIs) {
  HeldServer held;
  RawClient client(held.port());
  RawClient::Reply reply = client.get("/throw/api");
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(reply.body,
            R"({"error":{"message":"too much","type":"rate_limit_error","param":"model","code":"slow_down"}})");
  EXPECT_NE(reply.head.find("Retry-After: 7\r\n"), std::string::npos);
  reply = client.get("/throw/error");
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("a.json: expected x"), std::string::npos);
  reply = client.get("/throw/other");
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body.find("secret"), std::string::npos);
  EXPECT_NE(held.log().find("/throw/other: internal error: secret"), std::string::npos);
  EXPECT_EQ(client.get("/lost").status, 500);
  EXPECT_NE(held.log().find("/lost: let go without an answer"), std::string::npos);
}

TEST(HttpTest, EventsCome) {
  HeldServer held({.limits = {.comment_seconds = 0.01}});
  RawClient client(held.port());
  client.send("POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  HeldServer::Held one = held.take();
  one.exchange->begin_events();
  const std::string head = client.until("\r\n\r\n");
  for (const char* field : {"HTTP/1.1 200 OK", "text/event-stream", "X-Accel-Buffering: no", "Cache-Control: no-cache",
                            "Transfer-Encoding: chunked"}) {
    EXPECT_NE(head.find(field), std::string::npos) << head;
  }
  EXPECT_NE(client.until(":\n\n").find("3\r\n:\n\n"), std::string::npos);  // nothing to say is said
  one.exchange->event("a\nb");
  client.until("data: a\ndata: b\n\n");
  one.exchange->event("{}", "response.created");
  client.until("event: response.created\ndata: {}\n\n");
  one.exchange->event("[DONE]");
  one.exchange->end();
  EXPECT_NE(client.until("0\r\n\r\n").find("data: [DONE]\n\n"), std::string::npos);
  EXPECT_EQ(client.get("/echo").status, 200);
  one.exchange->event("late");
  EXPECT_EQ(one.gone->load(), 0);
  EXPECT_EQ(client.get("/echo").status, 200);
}

TEST(HttpTest, EventsForHttp10EndWithTheConnection) {
  HeldServer held;
  RawClient client(held.port());
  client.send("GET /hold HTTP/1.0\r\n\r\n");
  HeldServer::Held one = held.take();
  one.exchange->begin_events();
  one.exchange->event("a");
  one.exchange->end();
  EXPECT_TRUE(client.rest().ends_with("\r\n\r\ndata: a\n\n"));
}

TEST(HttpTest, AnAnswerThatIsDroppedCutsItsStream) {
  HeldServer held;
  RawClient client(held.port());
  client.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  HeldServer::Held one = held.take();
  one.exchange->begin_events();
  one.exchange->event("a");
  client.until("data: a\n\n");
  one.exchange.reset();
  EXPECT_EQ(client.rest().find("0\r\n\r\n"), std::string::npos);
  EXPECT_EQ(one.gone->load(), 0);
  EXPECT_TRUE(eventually([&] { return held.records().size() == 1; }));
  EXPECT_FALSE(held.records().at(0).whole);
}

class GoneTest : public testing::TestWithParam<const char*> {};

// Queued: nothing answered yet; streaming: events under way; the control: an answer that has ended.
TEST_P(GoneTest, ClientsThatGoAreToldOfOnce) {
  HeldServer held;
  const std::string state = GetParam();
  RawClient client(held.port());
  client.send("POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
  HeldServer::Held one = held.take();
  if (state != "queued") one.exchange->begin_events();
  if (state == "streaming" || state == "ended") {
    one.exchange->event("a");
    client.until("data: a\n\n");
  }
  if (state == "ended") {
    one.exchange->end();
    client.until("0\r\n\r\n");
  }
  client.close();
  EXPECT_TRUE(held.empties());
  if (state == "ended") {
    EXPECT_EQ(one.gone->load(), 0);
    return;
  }
  EXPECT_TRUE(eventually([&] { return one.gone->load() == 1; }));
  EXPECT_EQ(held.server->state().requests, 0U);
  int late = 0;
  one.exchange->on_gone([&] { ++late; });
  EXPECT_EQ(late, 0) << "told twice";
  one.exchange->event("b");
  one.exchange->end();
  one.exchange->reply({});
  one.exchange.reset();
  EXPECT_EQ(one.gone->load(), 1);
  EXPECT_EQ(held.log(), "");
}
INSTANTIATE_TEST_SUITE_P(States, GoneTest, testing::Values("queued", "begun", "streaming", "ended"),
                         [](const auto& info) { return std::string(info.param); });

// No FIN comes: neither where events are under way, nor where the answer has not begun and there is nothing to send.
TEST(HttpTest, ClientsThatVanishAreNoticed) {
  HeldServer held({.limits = {.comment_seconds = 0.2, .vanished_seconds = 1}});
  RawClient waiting(held.port()), streaming(held.port()), alive(held.port());
  std::vector<HeldServer::Held> answers;
  for (RawClient* each : {&waiting, &streaming, &alive}) {
    each->send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    answers.push_back(held.take());
  }
  answers[1].exchange->begin_events();
  answers[1].exchange->event("a");
  streaming.until("data: a\n\n");
  ASSERT_TRUE(waiting.vanish() && streaming.vanish());
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(eventually([&] { return answers[0].gone->load() == 1 && answers[1].gone->load() == 1; }));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(6));
  EXPECT_EQ(answers[2].gone->load(), 0) << "the control: it is silent, but there";
  answers[2].exchange->reply({.body = "x"});
  EXPECT_EQ(alive.reply().body, "x");
}

TEST(HttpTest, WhoAsksLateIsToldAtOnce) {
  HeldServer held;
  std::shared_ptr<HttpExchange> kept;
  {
    RawClient client(held.port());
    client.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    kept = held.take().exchange;
    kept->on_gone(nullptr);
  }
  EXPECT_TRUE(held.empties());
  int told = 0;
  kept->on_gone([&] { ++told; });
  EXPECT_EQ(told, 1);
  kept->on_gone([&] { ++told; });
  EXPECT_EQ(told, 1);
}

TEST(HttpTest, MalformedRequestsAreRefusedAndTheirConnectionsClosed) {
  HeldServer held;
  using namespace std::string_literals;
  const std::pair<std::string, int> cases[] = {
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s + "\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n"s, 400},
      {"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"s, 400},
      {"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
      {"GET / HTTP/3.1\r\nHost: x\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(100'000, 'e'), 400},
      {"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501},
      {"GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", 417},
      {"GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(20'000, 'a') + "\r\n\r\n", 431},
      {"GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", 431},
      {std::string(20'000, 'a'), 431},
  };
  for (const auto& [text, status] : cases) {
    SCOPED_TRACE(printable(text.substr(0, 120)));
    RawClient client(held.port());
    client.send(text);
    const RawClient::Reply reply = client.reply();
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_NE(reply.body.find("{\"error\":"), std::string::npos) << reply.head;
    EXPECT_NE(reply.head.find("Connection: close"), std::string::npos);
    EXPECT_TRUE(client.ends());
  }
  RawClient client(held.port());
  EXPECT_EQ(client.get("/echo").status, 200);
}

TEST(HttpTest, LargeBodiesAreRefusedAndTheClientReadsWhy) {
  HeldServer held({.limits = {.body_bytes = 100'000, .all_body_bytes = 250'000}});
  const std::string large(4'000'000, 'a');
  for (const char* coding : {"Content-Length: 4000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3d0900\r\n"}) {
    RawClient client(held.port());
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\n" + std::string(coding));
    client.send(large);  // all of it is taken, though none is kept
    const RawClient::Reply reply = client.reply();
    EXPECT_EQ(reply.status, 413);
    EXPECT_NE(reply.body.find("expected at most 100000 bytes"), std::string::npos) << reply.body;
  }
  // Bodies of requests under way count together.
  const std::string post =
      "POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + large.substr(0, 100'000);
  RawClient first(held.port()), second(held.port()), third(held.port());
  first.send(post);
  HeldServer::Held one = held.take();
  second.send(post);
  HeldServer::Held two = held.take();
  third.send(post);
  EXPECT_EQ(third.reply().status, 503);
  one.exchange->reply({});
  EXPECT_EQ(first.reply().status, 200);
  RawClient fourth(held.port());
  fourth.send(post);
  held.take().exchange->reply({});
  EXPECT_EQ(fourth.reply().status, 200);
}

TEST(HttpTest, ManySmallChunksTakeLinearTime) {
  HeldServer held;
  std::string chunks;
  constexpr std::size_t kChunks = 400'000;
  chunks.reserve(6 * kChunks);
  for (std::size_t i = 0; i < kChunks; ++i) chunks += "1\r\na\r\n";
  RawClient client(held.port());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n");
  EXPECT_EQ(client.reply().body, "POST /echo 400000 127.0.0.1");
}

TEST(HttpTest, DeadlinesEndWhatIsSlow) {
  HeldServer held({.limits = {.header_seconds = 0.05,
                              .body_seconds = 0.05,
                              .idle_seconds = 0.05,
                              .write_seconds = 0.1,
                              .linger_seconds = 0.05,
                              .kernel_bytes = 4096}});
  RawClient silent(held.port());
  EXPECT_EQ(silent.rest(), "");  // who says nothing is told nothing
  RawClient head(held.port());
  head.send("GET / HT");
  EXPECT_EQ(head.reply().status, 408);
  RawClient body(held.port());
  body.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(body.reply().status, 408);
  EXPECT_TRUE(body.ends());
  RawClient idle(held.port());
  EXPECT_EQ(idle.get("/echo").status, 200);
  EXPECT_EQ(idle.rest(), "");
  // An answer under way has no deadline of its own…
  RawClient waiting(held.port());
  waiting.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  HeldServer::Held one = held.take();
  EXPECT_TRUE(eventually([&] { return held.server->state().connections == 1; }));
  one.exchange->reply({.body = "x"});
  EXPECT_EQ(waiting.reply().body, "x");
  // … but its client has one for taking it.
  RawClient deaf(held.port(), 4096);
  deaf.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  held.take().exchange->reply({.body = std::string(8'000'000, 'a')});
  EXPECT_TRUE(held.empties());
  EXPECT_FALSE(held.records().back().whole);
}

TEST(HttpTest, ConnectionsAreCounted) {
  HeldServer held({.limits = {.linger_seconds = 0.1, .address_connections = 3}});
  std::vector<std::unique_ptr<RawClient>> three;
  for (int i = 0; i < 3; ++i) {
    three.push_back(std::make_unique<RawClient>(held.port()));
    EXPECT_EQ(three.back()->get("/echo").status, 200);
  }
  RawClient fourth(held.port());
  fourth.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  const RawClient::Reply reply = fourth.reply();
  EXPECT_EQ(reply.status, 429);
  EXPECT_NE(reply.head.find("Retry-After: 1"), std::string::npos);
  EXPECT_TRUE(fourth.ends());
  EXPECT_EQ(three[0]->get("/echo").status, 200);
  three.clear();
  EXPECT_TRUE(held.empties());
  RawClient again(held.port());
  EXPECT_EQ(again.get("/echo").status, 200);

  HeldServer few({.limits = {.connections = 1}});
  RawClient first(few.port());
  EXPECT_EQ(first.get("/echo").status, 200);
  RawClient second(few.port());
  EXPECT_EQ(second.reply().status, 503);
}

TEST(HttpTest, StreamsThatNobodyReadsAreClosed) {
  HeldServer held({.limits = {.stream_bytes = 100'000, .kernel_bytes = 4096}});
  RawClient deaf(held.port(), 4096);
  deaf.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  HeldServer::Held one = held.take();
  one.exchange->begin_events();
  std::size_t sent = 0;
  const std::string text(1000, 'a');
  while (one.gone->load() == 0 && sent < 20'000'000) {
    one.exchange->event(text);
    sent += text.size();
  }
  EXPECT_EQ(one.gone->load(), 1);
  EXPECT_LT(sent, 20'000'000U);
  EXPECT_TRUE(held.empties());
  EXPECT_NE(held.log().find("does not read its stream"), std::string::npos);
}

TEST(HttpTest, AStreamGoesOnAmongThousandsThatDoNothing) {
  HeldServer held({.limits = {.header_seconds = 60, .stream_bytes = 50'000, .kernel_bytes = 4096}});
  std::vector<std::unique_ptr<RawClient>> idle, slow, deaf;
  constexpr std::size_t kIdle = 2000, kSlow = 50, kDeaf = 50, kRounds = 200;
  idle.reserve(kIdle);
  slow.reserve(kSlow);
  deaf.reserve(kDeaf);
  for (std::size_t i = 0; i < kIdle; ++i) {
    idle.push_back(std::make_unique<RawClient>(held.port()));
    ASSERT_TRUE(idle.back()->connected()) << "connection " << i;
  }
  for (std::size_t i = 0; i < kSlow; ++i) slow.push_back(std::make_unique<RawClient>(held.port()));
  std::vector<HeldServer::Held> unread;
  for (std::size_t i = 0; i < kDeaf; ++i) {
    deaf.push_back(std::make_unique<RawClient>(held.port(), 4096));
    deaf.back()->send("GET /deaf HTTP/1.1\r\nHost: x\r\n\r\n");
    unread.push_back(held.take());
    unread.back().exchange->begin_events();
  }
  RawClient live(held.port());
  live.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  HeldServer::Held one = held.take();
  one.exchange->begin_events();
  const std::string request = "GET /echo HTTP/1.1\r\nHost: x\r\nX-Padding: " + std::string(1000, 'a');
  const std::string flood(2000, 'a');
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (const auto& each : slow) ASSERT_TRUE(each->send(request.substr(round, 1)));
    for (const HeldServer::Held& each : unread) each.exchange->event(flood);
    const std::string mark = concat("data: ", round, "\n\n");
    one.exchange->event(std::to_string(round));
    ASSERT_TRUE(live.until(mark).ends_with(mark));
  }
  const std::string rest(20'000, 'a');  // what the kernel still takes for those that do not read has an end, too
  for (std::size_t more = 0; more < 500; ++more) {
    for (const HeldServer::Held& each : unread) {
      if (each.gone->load() == 0) each.exchange->event(rest);
    }
  }
  EXPECT_TRUE(eventually([&] {
    return std::all_of(unread.begin(), unread.end(), [](const auto& each) { return each.gone->load() == 1; });
  }));
  EXPECT_EQ(held.server->state().connections, kIdle + kSlow + 1);
  one.exchange->end();
  live.until("0\r\n\r\n");
  EXPECT_EQ(idle.front()->get("/echo").status, 200);
  EXPECT_EQ(idle.back()->get("/echo").status, 200);
}

TEST(HttpTest, DrainLetsAnswersEnd) {
  HeldServer held;
  RawClient idle(held.port()), running(held.port()), refused(held.port());
  EXPECT_EQ(idle.get("/echo").status, 200);
  running.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  HeldServer::Held one = held.take();
  one.exchange->begin_events();
  bool all = false;
  std::thread drain([&] { all = held.server->drain(20); });
  EXPECT_TRUE(idle.ends());
  EXPECT_TRUE(eventually([&] { return !RawClient(held.port()).connected(); }));
  one.exchange->event("a");
  one.exchange->end();
  EXPECT_TRUE(running.rest().ends_with("data: a\n\n\r\n0\r\n\r\n"));
  running.close();
  drain.join();
  EXPECT_TRUE(all);
  EXPECT_EQ(one.gone->load(), 0);
}

TEST(HttpTest, DrainEndsAnswersThatDoNot) {
  HeldServer held;
  RawClient client(held.port());
  client.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  HeldServer::Held one = held.take();
  EXPECT_FALSE(held.server->drain(0.05));
  EXPECT_TRUE(client.ends());
  EXPECT_TRUE(eventually([&] { return one.gone->load() == 1; }));
}

TEST(HttpTest, AServerThatEndsTellsItsHandlers) {
  RawClient* client = nullptr;
  HeldServer::Held one;
  {
    HeldServer held;
    client = new RawClient(held.port());
    client->send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    one = held.take();
  }
  EXPECT_EQ(one.gone->load(), 1);
  one.exchange->reply({});
  one.exchange.reset();
  EXPECT_TRUE(client->ends());
  delete client;
}

/// TLS on a raw client's socket.
class TlsClient {
 public:
  TlsClient(const RawClient& client, const std::string& trusted) : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_load_verify_locations(context_, trusted.c_str(), nullptr);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    tls_ = SSL_new(context_);
    SSL_set_fd(tls_, client.descriptor());
    shaken_ = SSL_connect(tls_) == 1;
  }
  ~TlsClient() {
    SSL_free(tls_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  bool shaken() const { return shaken_; }
  void send(const std::string& text) {
    EXPECT_EQ(SSL_write(tls_, text.data(), static_cast<int>(text.size())), text.size());
  }
  /// Reads until `mark` has come, or the end.
  std::string until(const std::string& mark) {
    std::string all;
    char piece[8192];
    while (all.find(mark) == std::string::npos) {
      const int count = SSL_read(tls_, piece, sizeof piece);
      if (count <= 0) break;
      all.append(piece, static_cast<std::size_t>(count));
    }
    return all;
  }
  bool ended_by_notice() {
    return until("no such mark").empty() && (SSL_get_shutdown(tls_) & SSL_RECEIVED_SHUTDOWN) != 0;
  }

 private:
  SSL_CTX* context_;
  SSL* tls_;
  bool shaken_ = false;
};

void make_certificate(const std::string& certificate, const std::string& key) {
  const std::string make = concat(
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -keyout ",
      key, " -out ", certificate, " 2>/dev/null");
  ASSERT_EQ(std::system(make.c_str()), 0) << "openssl is needed";
}

TEST(HttpTest, TlsFilesAreReadAgain) {
  const test::TemporaryFolder folder;
  const std::string certificate = (folder / "c.pem").string(), key = (folder / "k.pem").string(),
                    old = (folder / "old.pem").string();
  make_certificate(certificate, key);
  std::filesystem::copy_file(certificate, old);
  HeldServer held({.tls_certificate = certificate, .tls_key = key});
  RawClient socket(held.port());
  TlsClient before(socket, old);
  ASSERT_TRUE(before.shaken());
  before.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  HeldServer::Held one = held.take();
  one.exchange->begin_events();
  one.exchange->event("a");
  before.until("data: a\n\n");
  const auto shakes = [&](const std::string& trusted) {
    const RawClient fresh(held.port());
    return TlsClient(fresh, trusted).shaken();
  };
  // What cannot be used changes nothing.
  std::ofstream(certificate) << "no certificate";
  EXPECT_ERROR(held.server->reload_tls(), "c.pem: expected a certificate");
  EXPECT_TRUE(shakes(old));
  make_certificate(certificate, (folder / "other.pem").string());
  EXPECT_ERROR(held.server->reload_tls(), "k.pem: expected the certificate's key");
  EXPECT_TRUE(shakes(old));
  make_certificate(certificate, key);
  EXPECT_FALSE(shakes(certificate));  // the control: nobody said so yet
  held.server->reload_tls();
  EXPECT_TRUE(shakes(certificate));
  EXPECT_FALSE(shakes(old));
  // The stream goes on, and so does its connection.
  one.exchange->event("b");
  one.exchange->end();
  EXPECT_NE(before.until("0\r\n\r\n").find("data: b\n\n"), std::string::npos);
  before.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(before.until("127.0.0.1").find("200 OK"), std::string::npos);
  HeldServer plain;
  plain.server->reload_tls();
}

TEST(HttpTest, TlsCarriesTheSame) {
  const test::TemporaryFolder folder;
  const std::string certificate = (folder / "c.pem").string(), key = (folder / "k.pem").string();
  make_certificate(certificate, key);
  EXPECT_ERROR(HttpServer({.tls_certificate = certificate, .tls_key = certificate}, {}),
               "expected the certificate's key");
  HeldServer held({.tls_certificate = certificate, .tls_key = key, .limits = {.header_seconds = 0.5}});
  RawClient silent(held.port());
  EXPECT_EQ(silent.rest(), "");  // a handshake has a deadline, too
  {
    RawClient plain(held.port());
    plain.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(plain.rest().find("HTTP"), std::string::npos);
    RawClient socket(held.port());
    TlsClient client(socket, certificate);
    ASSERT_TRUE(client.shaken());
    client.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_NE(client.until("127.0.0.1").find("200 OK"), std::string::npos);
    client.send("GET /hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    HeldServer::Held one = held.take();
    const std::string large(3'000'000, 'a');
    one.exchange->reply({.body = large + "end"});
    EXPECT_GT(client.until("end").size(), large.size());
    EXPECT_TRUE(client.ended_by_notice());
  }
  HeldServer::Held one;
  {
    RawClient socket(held.port());
    TlsClient client(socket, certificate);
    client.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    one = held.take();
    one.exchange->begin_events();
    one.exchange->event("a");
    EXPECT_NE(client.until("data: a\n\n").find("event-stream"), std::string::npos);
  }
  EXPECT_TRUE(eventually([&] { return one.gone->load() == 1; }));
  EXPECT_TRUE(held.empties());
}

TEST(HttpTest, AddressesThatCannotBeTakenAreErrors) {
  HeldServer held;
  const HttpHandler none = [](const auto&) {};
  EXPECT_ERROR(HttpServer({.port = held.port()}, none), "another program listens there");
  EXPECT_ERROR(HttpServer({.address = "203.0.113.7"}, none), "it is no address of this machine");
  EXPECT_ERROR(HttpServer({.address = "no such name"}, none), "expected an address of this machine");
  EXPECT_ERROR(HttpServer({.tls_certificate = "a.pem"}, none), "expected a certificate and its key");
  EXPECT_ERROR(HttpServer({.tls_certificate = "missing.pem", .tls_key = "k.pem"}, none), "missing.pem: expected");
  EXPECT_EQ(held.server->addresses().at(0), concat("127.0.0.1:", held.port()));
}

TEST(HttpTest, OneSocketTakesBothVersionsOfIp) {
  std::unique_ptr<HeldServer> held;
  try {
    held = std::make_unique<HeldServer>(HttpServerOptions{.address = "::"});
  } catch (const Error& error) {
    GTEST_SKIP() << "no IPv6 here: " << error.what();
  }
  RawClient client(held->port());
  EXPECT_EQ(client.get("/echo").body, "GET /echo 0 127.0.0.1");
}

}  // namespace
}  // namespace loraxs
