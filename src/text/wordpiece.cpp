#include "text/wordpiece.h"

#include <algorithm>

#include "io/error.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

bool starts_char(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

}  // namespace

WordPieceModel::WordPieceModel(WordPieceConfig config, const std::string& where)
    : config_(std::move(config)), unknown_id_(config_.vocab.require(config_.unknown_token, where)) {}

void WordPieceModel::add_to(Sha256& digest) const {
  digest.update("WordPiece\n");
  config_.vocab.add_to(digest);
  digest.update(concat(config_.unknown_token, '\t', config_.continuation, '\t', config_.max_chars_per_word, '\n'));
}

void WordPieceModel::append_ids(std::string_view word, std::vector<int32_t>& ids) const {
  const size_t before = ids.size();
  bool known = std::count_if(word.begin(), word.end(), starts_char) <= config_.max_chars_per_word;
  std::string candidate;
  for (size_t begin = 0; known && begin < word.size();) {
    known = false;
    for (size_t end = std::min(word.size(), begin + config_.vocab.longest_token()); end > begin; --end) {
      if (end < word.size() && !starts_char(word[end])) continue;
      candidate.assign(begin == 0 ? "" : config_.continuation).append(word.substr(begin, end - begin));
      const auto id = config_.vocab.id_of(candidate);
      if (!id) continue;
      ids.push_back(*id);
      known = true;
      begin = end;
      break;
    }
  }
  if (known) return;
  ids.resize(before);
  ids.push_back(unknown_id_);
}

}  // namespace loraxs
