#include "serve/http/connection.h"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/error.hpp>
#include <charconv>
#include <utility>

#include "io/error.h"
#include "serve/error_reply.h"
#include "serve/http/handling.h"
#include "serve/http/reply_head.h"

namespace loraxs {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
constexpr auto kNever = Connection::Clock::time_point::max();
constexpr int kOk = 200, kBadRequest = 400, kTimeout = 408, kTooLarge = 413, kHeadTooLarge = 431, kUnavailable = 503;

Connection::Clock::time_point in_seconds(double seconds) {
  return Connection::Clock::now() +
         std::chrono::duration_cast<Connection::Clock::duration>(std::chrono::duration<double>(seconds));
}

std::string chunk_size(std::size_t bytes) {
  constexpr int kSixteen = 16;
  std::array<char, 16> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), bytes, kSixteen).ptr;
  return {text.data(), end};
}

ApiError refusal_of(const boost::system::error_code& error, const HttpLimits& limits) {
  if (error == http::error::header_limit) {
    return {kHeadTooLarge, concat("request head: expected at most ", limits.header_bytes, " bytes, found more")};
  }
  if (error == http::error::body_limit) {
    return {kTooLarge, concat("request body: expected at most ", limits.body_bytes, " bytes, found more")};
  }
  return {kBadRequest, concat("request: expected HTTP/1.1, found an error: ", error.message())};
}

}  // namespace

/// Bytes of a request's body, counted among all as long as this lives.
class Connection::BodyBytes {
 public:
  explicit BodyBytes(HttpShared& shared) : shared_(shared) {}
  ~BodyBytes() { shared_.body_bytes -= bytes_; }
  BodyBytes(const BodyBytes&) = delete;
  BodyBytes& operator=(const BodyBytes&) = delete;
  void are(std::size_t bytes) {
    shared_.body_bytes += bytes - bytes_;
    bytes_ = bytes;
    if (shared_.body_bytes <= shared_.options.limits.all_body_bytes) return;
    ApiError busy(kUnavailable, "the server reads too many large requests at once; please try again");
    busy.retry_after = 1;
    throw busy;
  }

 private:
  HttpShared& shared_;
  std::size_t bytes_ = 0;
};

struct Connection::Request {
  explicit Request(HttpShared& shared) : body_bytes(shared) {}
  Parser parser;
  RequestHead head;
  BodyBytes body_bytes;
  HttpRecord record;
  std::unique_ptr<AddressCounts::Lease> counted;  // of a client behind a proxy
  Clock::time_point since = Clock::now();
  bool http_1_0 = false, closes = false;
};

Connection::Connection(HttpShared& shared, std::unique_ptr<Wire> wire, const asio::ip::address& peer,
                       std::optional<ApiError> refusal)
    : shared_(shared),
      wire_(std::move(wire)),
      address_(peer),
      peer_(peer.to_string()),
      refusal_(std::move(refusal)),
      woken_(shared.network, kNever),
      space_(shared.network, kNever) {
  constexpr std::size_t kLeast = std::size_t{64} << 10;
  most_input_ = std::max(kLeast, 2 * shared.options.limits.header_bytes);
}

void Connection::start(std::function<void()> ended) {
  read_until_ = in_seconds(shared_.options.limits.header_seconds);
  asio::co_spawn(
      shared_.network,
      [self = shared_from_this(), ended = std::move(ended)]() -> asio::awaitable<void> {
        co_await self->run();
        self->close();
        ended();
      },
      asio::detached);
}

asio::awaitable<void> Connection::run() {
  const WireResult shaken = co_await wire_->handshake();
  if (shaken.error || closed_) co_return;
  asio::co_spawn(
      shared_.network, [self = shared_from_this()]() -> asio::awaitable<void> { co_await self->read_on(); },
      asio::detached);
  try {
    co_await serve();
  } catch (const std::exception& error) {  // ours: whatever it is, it ends this connection alone
    shared_.warn(concat("connection of ", peer_, ": internal error: ", error.what()));
  }
  client_went();
}

// Reads whatever happens: a client that goes while its answer is under way is seen here. One that only shuts down its
// sending counts as gone, as in Go's net/http: nothing tells it from the other.
asio::awaitable<void> Connection::read_on() {
  while (!closed_) {
    while (!closed_ && !discards_ && unread() >= most_input_) {
      co_await space_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    if (closed_) break;
    const WireResult read = co_await wire_->read_some(asio::buffer(piece_));
    if (read.error) break;
    input_.erase(0, std::exchange(taken_, 0));
    if (!discards_) input_.append(piece_.data(), read.bytes);
    if (answer_ == nullptr) wake();
  }
  input_ended_ = true;
  if (answer_ != nullptr) {
    client_went();
    close();
  }
  wake();
}

void Connection::wake() {
  wake_pending_ = true;
  woken_.cancel();
}

asio::awaitable<void> Connection::wait() {
  if (!wake_pending_) co_await woken_.async_wait(asio::as_tuple(asio::use_awaitable));
  wake_pending_ = false;
}

void Connection::client_went() {
  if (answer_ == nullptr) return;
  std::function<void()> call = answer_->let_go();
  if (call) asio::post(shared_.handlers, std::move(call));
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  client_went();
  wire_->close();
  space_.cancel();
  wake();
}

void Connection::drain() {
  if (waits_) close();
}

void Connection::tick(Clock::time_point now) {
  if (now >= write_until_) {
    close();
    return;
  }
  if (now >= read_until_) {
    read_until_ = kNever;
    late_ = true;
    if (starting_) {
      close();  // a TLS handshake that does not end
      return;
    }
    wake();
  }
  if (now >= comment_at_) wake();
}

asio::awaitable<void> Connection::serve() {
  starting_ = false;
  Next next = Next::kGoesOn;
  while (next == Next::kGoesOn && !over()) next = co_await serve_one();
  if (next != Next::kCut) co_await linger();
}

// Feeds the parser with what was read, and waits for more while it gets no further; false: nothing more comes. Throws
// ApiError for what is no request.
asio::awaitable<bool> Connection::fill(Parser& parser) {
  while (true) {
    boost::system::error_code error;
    const std::size_t used = unread() == 0 ? 0 : parser.put(asio::buffer(input_.data() + taken_, unread()), error);
    taken_ += used;
    if (used > 0) space_.cancel();
    if (error && error != http::error::need_more) throw refusal_of(error, shared_.options.limits);
    if (used > 0 || parser.is_done()) co_return true;
    if (over()) co_return false;
    if (late_) throw ApiError(kTimeout, "expected a whole request in time; the rest of this one did not come");
    if (unread() >= most_input_) {
      throw ApiError(kBadRequest, "request body: expected chunks, found a line without an end");
    }
    co_await wait();
  }
}

asio::awaitable<bool> Connection::first_byte() {
  waits_ = true;
  while (unread() == 0) {
    if (over() || late_ || shared_.draining) co_return false;
    co_await wait();
  }
  waits_ = false;
  co_return true;
}

asio::awaitable<bool> Connection::read_head(Request& request) {
  const HttpLimits& limits = shared_.options.limits;
  read_until_ = in_seconds(limits.header_seconds);
  Parser& parser = request.parser;
  parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes));
  parser.body_limit(limits.body_bytes);
  while (!parser.is_header_done()) {
    if (!co_await fill(parser)) co_return false;
  }
  const auto& message = parser.get();
  RawHead raw{
      .method = message.method_string(), .target = message.target(), .version = static_cast<int>(message.version())};
  raw.fields.reserve(kMostHeadFields);
  for (const auto& field : message) raw.fields.emplace_back(field.name_string(), field.value());
  request.http_1_0 = raw.version < 11;
  request.head = read_request_head(raw);
  if (const auto given = request.head.request.headers.find("x-request-id");
      given != request.head.request.headers.end()) {
    request.record.id = given->second;
  }
  look_behind_proxy(request);
  co_return true;
}

/// A client behind a trusted proxy counts like one that is connected.
void Connection::look_behind_proxy(Request& request) const {
  const asio::ip::address client = shared_.proxies.client_of(address_, request.head.request.headers);
  if (client == address_) return;
  request.record.peer = client.to_string();
  request.counted = shared_.addresses.take(client);
  if (!request.counted) throw shared_.addresses.refusal();
}

asio::awaitable<bool> Connection::read_body(Request& request) {
  Parser& parser = request.parser;
  parser.eager(true);
  read_until_ = in_seconds(shared_.options.limits.body_seconds);
  if (request.head.expects_continue && !parser.is_done() && unread() == 0) {
    if (!co_await write("HTTP/1.1 100 Continue\r\n\r\n")) co_return false;
  }
  while (!parser.is_done()) {
    if (!co_await fill(parser)) co_return false;
    request.body_bytes.are(parser.get().body().size());
  }
  request.head.request.body = std::move(parser.get().body());
  co_return true;
}

asio::awaitable<Connection::Next> Connection::serve_one() {
  Request request(shared_);
  request.record.peer = peer_;
  request.record.id = fresh_id();
  std::optional<ApiError> refusal = std::exchange(refusal_, std::nullopt);
  if (!refusal) {
    try {
      if (!co_await first_byte()) co_return Next::kEnds;
      if (!co_await read_head(request) || !co_await read_body(request)) co_return Next::kCut;
    } catch (const ApiError& error) {
      refusal = error;
    }
  }
  read_until_ = kNever;
  late_ = false;
  request.since = Clock::now();
  const auto& message = request.parser.get();
  request.record.method = message.method_string();
  request.record.path = request.head.request.path;
  request.record.request_bytes = request.head.request.body.size();
  request.closes = refusal.has_value() || !request.head.keep_alive;
  bool whole = false;
  if (refusal) {
    whole = co_await send_reply(request, error_reply(*refusal));
  } else {
    whole = co_await answer(request);
  }
  request.record.whole = whole;
  request.record.seconds = std::chrono::duration<double>(Clock::now() - request.since).count();
  if (shared_.options.answered) shared_.options.answered(request.record);
  if (!whole) co_return Next::kCut;
  if (request.closes) co_return Next::kEnds;
  read_until_ = in_seconds(shared_.options.limits.idle_seconds);
  co_return Next::kGoesOn;
}

asio::awaitable<bool> Connection::answer(Request& request) {
  HttpRequest given = std::move(request.head.request);
  given.peer = request.record.peer;
  given.headers["x-request-id"] = request.record.id;
  hand_over(std::move(given));
  const bool whole = co_await send_answer(request);
  client_went();  // lets go: nobody went if the answer has ended
  answer_.reset();
  comment_at_ = kNever;
  --shared_.requests;
  co_return whole;
}

// Comes while a write is under way, too: to a client that does not read it never ends.
void Connection::look_at_answer() {
  if (answer_ != nullptr && answer_->unread()) {
    shared_.warn(concat(peer_, ": closed: it does not read its stream"));
    close();
  }
  wake();
}

void Connection::hand_over(HttpRequest request) {
  answer_ = std::make_shared<AnswerState>(shared_.options.limits.stream_bytes,
                                          [weak = weak_from_this(), &network = shared_.network] {
                                            asio::post(network, [weak] {
                                              if (const auto self = weak.lock()) self->look_at_answer();
                                            });
                                          });
  ++shared_.requests;
  handle_request(shared_, std::move(request), answer_);
}

// Whether the answer was sent to its end.
asio::awaitable<bool> Connection::send_answer(Request& request) {
  bool begun = false;
  while (!over()) {
    const AnswerState::Ready ready = answer_->take();
    if (ready.reply) co_return co_await send_reply(request, *ready.reply);
    if (ready.cut) {
      look_at_answer();
      co_return false;
    }
    if (ready.events && !begun) {
      begun = true;
      if (!co_await send_events_head(request)) co_return false;
    }
    if (!ready.text.empty()) {
      if (!co_await send_text(request, ready.text)) co_return false;
      answer_->sent(ready.text.size());
    }
    if (ready.ended) {
      const std::string_view last = request.http_1_0 || request.head.head_only ? "" : "0\r\n\r\n";
      co_return co_await write(last);
    }
    if (Clock::now() >= comment_at_ && !co_await send_text(request, ":\n\n")) co_return false;
    co_await wait();
  }
  co_return false;
}

asio::awaitable<bool> Connection::send_events_head(Request& request) {
  request.record.status = kOk;
  request.closes = request.closes || request.http_1_0;  // which has no chunks: the stream ends with the connection
  std::string head = head_of(request, kOk, "text/event-stream; charset=utf-8");
  head += "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
  if (!request.http_1_0) head += "Transfer-Encoding: chunked\r\n";
  head += "\r\n";
  comment_at_ = in_seconds(shared_.options.limits.comment_seconds);
  co_return co_await write(head);
}

asio::awaitable<bool> Connection::send_text(Request& request, std::string text) {
  comment_at_ = in_seconds(shared_.options.limits.comment_seconds);
  if (request.head.head_only) co_return true;
  request.record.reply_bytes += text.size();
  if (!request.http_1_0) text = chunk_size(text.size()).append("\r\n").append(text).append("\r\n");
  co_return co_await write(text);
}

asio::awaitable<bool> Connection::send_reply(Request& request, const HttpReply& reply) {
  request.record.status = reply.status;
  std::string text = head_of(request, reply.status, reply.content_type);
  for (const auto& [name, value] : reply.headers)
    text.append(name).append(": ").append(field_value(value)).append("\r\n");
  const bool bare = is_bare(reply.status);
  if (!bare) text.append(concat("Content-Length: ", reply.body.size(), "\r\n"));
  text.append("\r\n");
  if (!bare && !request.head.head_only) {
    text.append(reply.body);
    request.record.reply_bytes = reply.body.size();
  }
  co_return co_await write(text);
}

std::string Connection::head_of(Request& request, int status, std::string_view content_type) const {
  request.closes = request.closes || shared_.draining;
  return reply_head({.status = status,
                     .id = request.record.id,
                     .content_type = content_type,
                     .closes = request.closes,
                     .stays = !request.closes && request.http_1_0});
}

asio::awaitable<bool> Connection::write(std::string_view bytes) {
  constexpr std::size_t kPiece = std::size_t{64} << 10;
  while (!bytes.empty() && !closed_) {
    const std::string_view piece = bytes.substr(0, kPiece);
    write_until_ = in_seconds(shared_.options.limits.write_seconds);
    const WireResult written = co_await wire_->write(asio::buffer(piece.data(), piece.size()));
    write_until_ = kNever;
    if (written.error) {
      close();
      co_return false;
    }
    bytes.remove_prefix(piece.size());
  }
  co_return !closed_;
}

// A socket that is closed while the client still sends is reset, and the client may never read what we said last: we
// take what comes for a while.
asio::awaitable<void> Connection::linger() {
  if (over()) co_return;
  discards_ = true;
  late_ = false;
  space_.cancel();
  read_until_ = write_until_ = in_seconds(shared_.options.limits.linger_seconds);
  co_await wire_->say_end();
  write_until_ = kNever;
  while (!over() && !late_) co_await wait();
}

}  // namespace loraxs
