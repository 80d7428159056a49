#include "serve/http/client_address.h"

#include <algorithm>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>
#include <charconv>
#include <optional>

#include "io/error.h"

namespace loraxs {
namespace {

namespace ip = boost::asio::ip;
constexpr unsigned kByteBits = 8;

std::optional<ip::address> address_of(const std::string& text) {
  boost::system::error_code error;
  const ip::address address = ip::make_address(text, error);
  return error ? std::nullopt : std::optional(plain_address(address));
}

/// Of 4 or 16 bytes.
std::vector<unsigned char> bytes_of(const ip::address& address) {
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    return {bytes.begin(), bytes.end()};
  }
  const auto bytes = address.to_v6().to_bytes();
  return {bytes.begin(), bytes.end()};
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  return text.substr(0, text.find_last_not_of(kBlank) + 1);
}

std::string_view unquoted(std::string_view text) {
  const bool quoted = text.size() > 1 && text.front() == '"' && text.back() == '"';
  return quoted ? text.substr(1, text.size() - 2) : text;
}

/// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80"; none for all else ("unknown").
std::optional<ip::address> node_of(std::string_view text) {
  if (!text.empty() && text.front() == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    return address_of(std::string(text.substr(1, end - 1)));
  }
  if (std::count(text.begin(), text.end(), ':') == 1) text = text.substr(0, text.find(':'));
  return address_of(std::string(text));
}

/// The value of `for=` in an element of a Forwarded field; empty where there is none.
std::string_view forwarded_for(std::string_view element) {
  constexpr std::string_view kName = "for=";
  while (!element.empty()) {
    const std::size_t end = std::min(element.find(';'), element.size());
    const std::string_view pair = trimmed(element.substr(0, end));
    element.remove_prefix(std::min(end + 1, element.size()));
    const bool is_it = pair.size() > kName.size() &&
                       std::equal(kName.begin(), kName.end(), pair.begin(),
                                  [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b); });
    if (is_it) return unquoted(pair.substr(kName.size()));
  }
  return {};
}

/// Who shares a bound: an IPv4 address, or a network of 64 bits, which is what one IPv6 customer has.
std::string neighbourhood(const ip::address& address) {
  if (address.is_v4()) return address.to_string();
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + bytes.size() / 2, bytes.end(), 0);
  return ip::address_v6(bytes).to_string();
}

}  // namespace

ip::address plain_address(const ip::address& address) {
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return ip::make_address_v4(ip::v4_mapped, address.to_v6());
}

TrustedProxies::TrustedProxies(const std::vector<std::string>& names) {
  networks_.reserve(names.size());
  for (const std::string& name : names) {
    const std::size_t slash = std::min(name.find('/'), name.size());
    const std::optional<ip::address> address = address_of(name.substr(0, slash));
    const unsigned most = address && address->is_v4() ? ip::address_v4::bytes_type().size() * kByteBits
                                                      : ip::address_v6::bytes_type().size() * kByteBits;
    unsigned bits = most;
    bool good = address.has_value();
    if (slash < name.size()) {
      const auto [end, error] = std::from_chars(name.data() + slash + 1, name.data() + name.size(), bits);
      good = good && error == std::errc() && end == name.data() + name.size() && bits <= most;
    }
    if (!good) {
      throw Error(concat("--trusted-proxy: expected an address, or a network as 10.0.0.0/8, found ", name));
    }
    networks_.push_back({*address, bits});
  }
}

bool TrustedProxies::holds(const ip::address& address) const {
  const std::vector<unsigned char> bytes = bytes_of(address);
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    const std::vector<unsigned char> theirs = bytes_of(network.address);
    if (theirs.size() != bytes.size()) return false;
    const std::size_t whole = network.bits / kByteBits;
    const unsigned rest = network.bits % kByteBits, shift = kByteBits - rest;
    return std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(whole), theirs.begin()) &&
           (rest == 0 || bytes[whole] >> shift == theirs[whole] >> shift);
  });
}

ip::address TrustedProxies::client_of(const ip::address& peer,
                                      const std::map<std::string, std::string>& headers) const {
  if (!holds(peer)) return peer;
  const auto plain = headers.find("x-forwarded-for"), standard = headers.find("forwarded");
  const bool has_plain = plain != headers.end(), has_standard = standard != headers.end();
  if (has_plain && has_standard) {
    constexpr int kRefused = 400;
    throw ApiError(
        kRefused,
        "request head: expected X-Forwarded-For or Forwarded from a proxy, found both; the proxy has to drop "
        "the one that it does not write");
  }
  if (!has_plain && !has_standard) return peer;
  ip::address client = peer;
  // From the last: each is the word of the one behind it.
  for (std::string_view list = has_plain ? plain->second : standard->second; !list.empty();) {
    const std::size_t comma = list.rfind(',');
    const std::size_t start = comma == std::string_view::npos ? 0 : comma + 1;
    const std::string_view element = trimmed(list.substr(start));
    list = list.substr(0, start == 0 ? 0 : start - 1);
    const std::optional<ip::address> named = node_of(has_plain ? element : forwarded_for(element));
    if (!named) return client;
    client = *named;
    if (!holds(client)) return client;
  }
  return client;
}

AddressCounts::Lease::Lease(std::shared_ptr<std::map<std::string, std::size_t>> counts, std::string home)
    : counts_(std::move(counts)), home_(std::move(home)) {
  ++(*counts_)[home_];
}

AddressCounts::Lease::~Lease() {
  const auto at = counts_->find(home_);
  if (--at->second == 0) counts_->erase(at);
}

std::unique_ptr<AddressCounts::Lease> AddressCounts::take(const ip::address& address) {
  std::string home = neighbourhood(address);
  const auto at = counts_->find(home);
  if ((at == counts_->end() ? 0 : at->second) >= most_) return nullptr;
  return std::make_unique<Lease>(counts_, std::move(home));
}

ApiError AddressCounts::refusal() const {
  constexpr int kTooMany = 429;
  ApiError error(kTooMany, concat("expected at most ", most_,
                                  " connections from one address, found more; reuse them, or close some"));
  error.retry_after = 1;
  return error;
}

}  // namespace loraxs
