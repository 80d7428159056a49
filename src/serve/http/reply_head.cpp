#include "serve/http/reply_head.h"

#include <array>
#include <boost/beast/http/status.hpp>
#include <ctime>
#include <random>

#include "io/error.h"

namespace loraxs {
namespace {

/// "Mon, 30 Nov 2026 02:07:33 GMT"
std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 40> text;
  return {text.data(), std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

}  // namespace

std::string fresh_id() {
  static thread_local std::mt19937_64 generator((static_cast<uint64_t>(std::random_device{}()) << 32U) ^
                                                std::random_device{}());
  constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuv";
  constexpr std::size_t kCharacters = 24, kInOneDraw = 12;
  constexpr unsigned kBits = 5;
  std::string id;
  id.reserve(kCharacters);
  uint64_t draw = 0;
  for (std::size_t i = 0; i < kCharacters; ++i, draw >>= kBits) {
    if (i % kInOneDraw == 0) draw = generator();
    id += kLetters[draw % kLetters.size()];
  }
  return id;
}

std::string field_value(std::string value) {
  for (char& c : value) {
    constexpr unsigned char kSpace = 0x20;
    if (static_cast<unsigned char>(c) < kSpace) c = ' ';
  }
  return value;
}

bool is_bare(int status) {
  constexpr int kNoContent = 204, kNotModified = 304;
  return status == kNoContent || status == kNotModified;
}

std::string reply_head(const ReplyHead& head) {
  namespace http = boost::beast::http;
  std::string text =
      concat("HTTP/1.1 ", head.status, ' ', http::obsolete_reason(static_cast<http::status>(head.status)),
             "\r\nDate: ", http_date(), "\r\nX-Request-Id: ", head.id, "\r\n");
  if (!is_bare(head.status)) {
    text.append("Content-Type: ").append(field_value(std::string(head.content_type))).append("\r\n");
  }
  if (head.closes) text.append("Connection: close\r\n");
  if (head.stays) text.append("Connection: keep-alive\r\n");
  return text;
}

}  // namespace loraxs
