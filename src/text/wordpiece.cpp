#include "text/wordpiece.h"

#include <algorithm>

#include "io/error.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

bool starts_char(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

}  // namespace

WordPieceModel::WordPieceModel(WordPieceConfig config, const std::string& where)
    : config_(std::move(config)),
      unknown_id_(config_.vocab.require(config_.unknown_token, where)),
      trie_(config_.vocab.entries()),
      inside_(trie_.walk(TokenTrie::kRoot, config_.continuation)) {}

void WordPieceModel::add_to(Sha256& digest) const {
  digest.update("WordPiece\n");
  config_.vocab.add_to(digest);
  digest.update(concat(config_.unknown_token, '\t', config_.continuation, '\t', config_.max_chars_per_word, '\n'));
}

void WordPieceModel::append_ids(std::string_view word, std::vector<int32_t>& ids) const {
  const size_t before = ids.size();
  bool known = std::count_if(word.begin(), word.end(), starts_char) <= config_.max_chars_per_word;
  for (size_t begin = 0; known && begin < word.size();) {
    int32_t longest = TokenTrie::kNone, node = begin == 0 ? TokenTrie::kRoot : inside_;
    size_t end_of_longest = begin;
    for (size_t end = begin; node != TokenTrie::kNone && end < word.size();) {
      node = trie_.child(node, word[end++]);
      if (node == TokenTrie::kNone || trie_.value(node) == TokenTrie::kNone) continue;
      if (end < word.size() && !starts_char(word[end])) continue;
      longest = trie_.value(node);
      end_of_longest = end;
    }
    known = longest != TokenTrie::kNone;
    if (known) ids.push_back(longest);
    begin = end_of_longest;
  }
  if (known) return;
  ids.resize(before);
  ids.push_back(unknown_id_);
}

}  // namespace loraxs
