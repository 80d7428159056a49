// text/charsmap.h: the normalisation table inside a SentencePiece model: what is written for which characters.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace loraxs {

/// A double-array trie (Darts) from UTF-8 to places in a blob of zero-terminated replacements. From a node, byte b
/// leads to unit `node ^ b` if that has b as its label; the unit's offset leads to the next node, and where the unit
/// has a leaf, the unit at that node is the place of the replacement.
struct Charsmap {
  std::vector<uint32_t> units;
  std::string replacements;

  static bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
  static uint32_t label(uint32_t unit) { return unit & (1U << 31 | 0xFF); }
  static uint32_t value(uint32_t unit) { return unit & ((1U << 31) - 1); }
  static uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & (1U << 9)) >> 6); }
};

/// From its bytes: the trie's length, the trie, the replacements. Throws Error, starting with `where`, for lengths that
/// do not fit.
Charsmap parse_charsmap(std::string_view table, const std::string& where);

/// libsentencepiece follows the trie without looking whether it leads outside of it. Throws Error, starting with
/// `where`, where some text could lead there, to a replacement outside of the blob, to more keys inside one another
/// than the library has room for, or to a replacement that is more than 16 times its key. Linear.
void check_charsmap(const Charsmap& map, const std::string& where);

}  // namespace loraxs
