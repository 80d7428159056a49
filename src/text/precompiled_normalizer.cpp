#include "text/precompiled_normalizer.h"

#include <cstring>

#include "io/error.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

std::string decode_base64(const std::string& text, const std::string& where) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (value < 0) throw Error(concat(where, ": normalizer.precompiled_charsmap: expected base64, found '", c, "'"));
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFF);
  }
  return bytes;
}

// A unit of the array: 8 bits label and 1 bit "leaf", or 31 bits value; the offset of its children with 2 sizes of
// step.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t label_of(uint32_t unit) { return unit & (1U << 31 | 0xFF); }
uint32_t value_of(uint32_t unit) { return unit & ((1U << 31) - 1); }
uint32_t offset_of(uint32_t unit) { return unit >> 10 << ((unit & (1U << 9)) >> 6); }

}  // namespace

PrecompiledNormalizer::PrecompiledNormalizer(const std::string& base64, const std::string& where)
    : graphemes_(R"(\X)", where) {
  const std::string table = decode_base64(base64, where);
  uint32_t trie_bytes = 0;
  if (table.size() >= sizeof trie_bytes) std::memcpy(&trie_bytes, table.data(), sizeof trie_bytes);
  if (trie_bytes == 0 || trie_bytes % sizeof(uint32_t) != 0 || trie_bytes > table.size() - sizeof trie_bytes) {
    throw Error(concat(where, ": normalizer.precompiled_charsmap: expected a table with a trie, found ", table.size(),
                       " bytes that claim a trie of ", trie_bytes));
  }
  trie_.resize(trie_bytes / sizeof(uint32_t));
  std::memcpy(trie_.data(), table.data() + sizeof trie_bytes, trie_bytes);
  replacements_ = table.substr(sizeof trie_bytes + trie_bytes);
}

bool PrecompiledNormalizer::append_replacement(std::string_view key, std::string& out) const {
  size_t node = offset_of(trie_[0]);
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= trie_.size() || label_of(trie_[node]) != byte) return false;
    const uint32_t unit = trie_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (node >= trie_.size()) return false;
    const uint32_t place = value_of(trie_[node]);
    if (place >= replacements_.size()) return false;
    out += valid_utf8(replacements_.c_str() + place);  // up to the next zero
    return true;
  }
  return false;
}

std::string PrecompiledNormalizer::operator()(const std::string& text) const {
  std::string result;
  result.reserve(text.size());
  graphemes_.for_each_match(text, [&](size_t begin, size_t end) {
    constexpr size_t kLongestCluster = 5;  // bytes
    const std::string_view cluster = std::string_view(text).substr(begin, end - begin);
    if (cluster.size() <= kLongestCluster && append_replacement(cluster, result)) return;
    for (size_t at = 0; at < cluster.size();) {
      const std::string_view character = cluster.substr(at, char_bytes(cluster[at]));
      if (!append_replacement(character, result)) result += character;
      at += character.size();
    }
  });
  return result;
}

}  // namespace loraxs
