#include "text/precompiled_normalizer.h"

#include "io/base64.h"
#include "io/error.h"
#include "text/graphemes.h"
#include "text/utf8.h"

namespace loraxs {

PrecompiledNormalizer::PrecompiledNormalizer(const std::string& base64, const std::string& where)
    : map_(parse_charsmap(decode_base64(base64, where + ": normalizer.precompiled_charsmap"), where + ": normalizer")) {
}

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
