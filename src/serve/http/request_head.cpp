#include "serve/http/request_head.h"

#include <algorithm>
#include <array>

#include "io/printable.h"
#include "serve/api_error.h"

namespace loraxs {
namespace {

constexpr int kRefused = 400, kExpectationFailed = 417, kFieldsTooLarge = 431, kNotImplemented = 501,
              kVersionNotSupported = 505;
constexpr std::size_t kShownBytes = 80;

[[noreturn]] void refuse_head(const std::string& message, int status = kRefused) { throw ApiError(status, message); }

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

bool is_control(unsigned char c) {
  constexpr unsigned char kSpace = 0x20, kDelete = 0x7f;
  return c < kSpace || c == kDelete;
}

int hex_value(char c) {
  constexpr int kTen = 10;
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + kTen;
  if (c >= 'A' && c <= 'F') return c - 'A' + kTen;
  return -1;
}

std::string percent_decoded(std::string_view text, bool plus_is_space) {
  constexpr int kSixteen = 16;
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const int high = i + 1 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      refuse_head(concat("request target: expected two hexadecimal digits behind %, found ",
                         shortened(text.substr(i, 3), kShownBytes), "; write % itself as %25"));
    }
    out += static_cast<char>(kSixteen * high + low);
    i += 2;
  }
  if (std::any_of(out.begin(), out.end(), is_control) || first_invalid_utf8(out) != std::string_view::npos) {
    refuse_head(
        concat("request target: expected UTF-8 without control characters, found ", shortened(text, kShownBytes)));
  }
  return out;
}

void read_query(std::string_view text, std::map<std::string, std::string>& query) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('&'), text.size());
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    std::string name = percent_decoded(pair.substr(0, equals), true);
    std::string value = percent_decoded(pair.substr(std::min(equals + 1, pair.size())), true);
    const auto [at, fresh] = query.emplace(std::move(name), std::move(value));
    if (!fresh) {
      throw ApiError(kRefused, concat("query: expected ", shortened(at->first, kShownBytes), " once, found it twice"),
                     at->first);
    }
  }
}

// Fields of which a second one is an error: joined by commas they would mean something else, or to somebody else.
constexpr std::array<std::string_view, 7> kSingle = {"authorization", "content-length", "content-type",     "expect",
                                                     "host",          "x-request-id",   "transfer-encoding"};

std::map<std::string, std::string> joined_fields(const RawHead& head) {
  if (head.fields.size() > kMostHeadFields) {
    refuse_head(concat("request head: expected at most ", kMostHeadFields, " fields, found ", head.fields.size()),
                kFieldsTooLarge);
  }
  std::map<std::string, std::string> fields;
  for (const auto& [given_name, value] : head.fields) {
    const std::string name = lower(given_name);
    if (std::any_of(value.begin(), value.end(), [](unsigned char c) { return c != '\t' && is_control(c); })) {
      refuse_head(concat("request head: ", shortened(name, kShownBytes), ": expected no control characters"));
    }
    const auto [at, fresh] = fields.emplace(name, value);
    if (fresh) continue;
    if (std::find(kSingle.begin(), kSingle.end(), name) != kSingle.end()) {
      refuse_head(concat("request head: expected ", name, " once, found it twice"));
    }
    at->second += (name == "cookie" ? "; " : ", ") + value;
  }
  return fields;
}

const std::string& field_or_empty(const std::map<std::string, std::string>& fields, const std::string& name) {
  static const std::string none;
  const auto at = fields.find(name);
  return at == fields.end() ? none : at->second;
}

/// Whether the list of a Connection field holds `option`.
bool lists_option(std::string_view list, std::string_view option) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    const std::size_t first = std::min(item.find_first_not_of(" \t"), item.size());
    item.remove_prefix(first);
    item = item.substr(0, item.find_last_not_of(" \t") + 1);
    if (lower(item) == option) return true;
  }
  return false;
}

void check_length(const RawHead& head, const std::map<std::string, std::string>& fields) {
  const bool has_length = fields.contains("content-length"), has_coding = fields.contains("transfer-encoding");
  if (has_length && has_coding) {
    refuse_head("request head: expected Content-Length or Transfer-Encoding, found both");
  }
  if (has_length) {
    constexpr std::size_t kMostDigits = 18;
    const std::string& length = field_or_empty(fields, "content-length");
    const bool digits = std::all_of(length.begin(), length.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (length.empty() || length.size() > kMostDigits || !digits) {
      refuse_head(concat("request head: Content-Length: expected a number, found ", shortened(length, kShownBytes)));
    }
  }
  if (!has_coding) return;
  const std::string& coding = field_or_empty(fields, "transfer-encoding");
  if (head.version < 11) refuse_head("request head: expected no Transfer-Encoding in HTTP/1.0, found one");
  if (lower(coding) != "chunked") {
    refuse_head(
        concat("request head: Transfer-Encoding: expected chunked alone, found ", shortened(coding, kShownBytes)),
        kNotImplemented);
  }
}

}  // namespace

bool is_request_id(std::string_view id) {
  constexpr std::size_t kMostBytes = 128;
  return !id.empty() && id.size() <= kMostBytes && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

void read_target(std::string_view target, HttpRequest& request) {
  if (target == "*") {  // OPTIONS *
    request.path = "*";
    return;
  }
  const std::size_t scheme = target.find("://");
  if (scheme != std::string_view::npos && target.front() != '/') {  // as a proxy is asked: http://host/path
    target.remove_prefix(std::min(target.find('/', scheme + 3), target.size()));
    if (target.empty()) target = "/";
  }
  if (target.empty() || target.front() != '/') {
    refuse_head(concat("request target: expected a path that begins with /, found ", shortened(target, kShownBytes)));
  }
  target = target.substr(0, target.find('#'));
  const std::size_t mark = std::min(target.find('?'), target.size());
  request.path = percent_decoded(target.substr(0, mark), false);
  read_query(target.substr(std::min(mark + 1, target.size())), request.query);
}

RequestHead read_request_head(const RawHead& head) {
  if (head.version != 11 && head.version != 10) {
    refuse_head("request line: expected HTTP/1.1 or HTTP/1.0, found another version", kVersionNotSupported);
  }
  if (head.method == "CONNECT") refuse_head("request line: CONNECT is not served here", kNotImplemented);
  RequestHead read;
  read.request.headers = joined_fields(head);
  auto& fields = read.request.headers;
  check_length(head, fields);
  if (head.version >= 11 && !fields.contains("host")) refuse_head("request head: expected Host, found none");
  const std::string& expected = field_or_empty(fields, "expect");
  if (!expected.empty() && lower(expected) != "100-continue") {
    refuse_head(concat("request head: Expect: expected 100-continue, found ", shortened(expected, kShownBytes)),
                kExpectationFailed);
  }
  read.expects_continue = !expected.empty() && head.version >= 11;
  const std::string& connection = field_or_empty(fields, "connection");
  read.keep_alive = head.version >= 11 ? !lists_option(connection, "close") : lists_option(connection, "keep-alive");
  read.head_only = head.method == "HEAD";
  read.request.method = read.head_only ? "GET" : head.method;
  read_target(head.target, read.request);
  if (!is_request_id(field_or_empty(fields, "x-request-id"))) fields.erase("x-request-id");
  return read;
}

}  // namespace loraxs
