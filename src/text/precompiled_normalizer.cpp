#include "text/precompiled_normalizer.h"

#include "io/error.h"
#include "text/graphemes.h"
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

}  // namespace

PrecompiledNormalizer::PrecompiledNormalizer(const std::string& base64, const std::string& where)
    : map_(parse_charsmap(decode_base64(base64, where), where + ": normalizer")) {}

bool PrecompiledNormalizer::append_replacement(std::string_view key, TextLimit& limit, std::string& out) const {
  const std::vector<uint32_t>& units = map_.units;
  size_t node = Charsmap::offset(units[0]);
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= units.size() || Charsmap::label(units[node]) != byte) return false;
    const uint32_t unit = units[node];
    node ^= Charsmap::offset(unit);
    if (!Charsmap::has_leaf(unit)) continue;
    if (node >= units.size()) return false;
    const uint32_t place = Charsmap::value(units[node]);
    if (place >= map_.replacements.size()) return false;
    const std::string_view replacement = map_.replacements.c_str() + place;  // up to the next zero
    limit.require(out.size() + replacement.size());
    out += valid_utf8(replacement);
    return true;
  }
  return false;
}

std::string PrecompiledNormalizer::operator()(const std::string& text, TextLimit& limit) const {
  std::string result;
  result.reserve(text.size());
  for_each_grapheme(text, [&](size_t begin, size_t end) {
    constexpr size_t kLongestCluster = 5;  // bytes
    const std::string_view cluster = std::string_view(text).substr(begin, end - begin);
    if (cluster.size() <= kLongestCluster && append_replacement(cluster, limit, result)) return;
    for (size_t at = 0; at < cluster.size();) {
      const std::string_view character = cluster.substr(at, char_bytes(cluster[at]));
      if (!append_replacement(character, limit, result)) result += character;
      at += character.size();
    }
  });
  return result;
}

}  // namespace loraxs
