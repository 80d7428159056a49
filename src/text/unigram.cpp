#include "text/unigram.h"

#include <algorithm>
#include <limits>

#include "io/error.h"
#include "text/bpe.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

/// The best way to write the text up to one place: its last token starts at `start` and has `id`.
struct BestPath {
  double score = 0;
  size_t start = std::string::npos;
  int32_t id = -1;
};

}  // namespace

UnigramModel::UnigramModel(UnigramConfig config, const std::string& where)
    : scores_(std::move(config.scores)),
      unknown_id_(config.unknown_id),
      byte_fallback_(config.byte_fallback),
      vocab_(std::move(config.tokens), where + ": model.vocab"),
      trie_(vocab_.entries()),
      where_(where) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const double score : scores_) lowest = std::min(lowest, score);
  constexpr double kUnknownPenalty = 10;  // SentencePiece's
  unknown_score_ = lowest - kUnknownPenalty;
}

void UnigramModel::add_to(Sha256& digest) const {
  digest.update("Unigram\n");
  vocab_.add_to(digest);
  digest.update(std::as_bytes(std::span(scores_)));
  digest.update(concat(unknown_id_.value_or(-1), byte_fallback_, '\n'));
}

void UnigramModel::append_token(std::string_view token, std::vector<int32_t>& ids) const {
  if (const auto id = vocab_.id_of(token)) {
    ids.push_back(*id);
    return;
  }
  if (byte_fallback_) {
    std::vector<int32_t> bytes;
    for (const char c : token) {
      if (const auto id = vocab_.id_of(byte_token(static_cast<unsigned char>(c)))) bytes.push_back(*id);
    }
    if (bytes.size() == token.size()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
      return;
    }
  }
  ids.push_back(unknown_id_.value_or(-1));
}

void UnigramModel::append_ids(std::string_view piece, std::vector<int32_t>& ids) const {
  std::vector<BestPath> best(piece.size() + 1);  // best[i]: of the first i bytes
  const auto offer = [&](size_t start, size_t end, int32_t id, double score) {
    if (best[end].start == std::string::npos || score > best[end].score) best[end] = {score, start, id};
  };
  for (size_t start = 0; start < piece.size();) {
    const size_t length = char_bytes(piece[start]);
    bool has_single_character = false;
    int32_t node = TokenTrie::kRoot;
    for (size_t end = start; end < piece.size();) {
      node = trie_.child(node, piece[end++]);
      if (node == TokenTrie::kNone) break;
      const int32_t id = trie_.value(node);
      if (id == TokenTrie::kNone) continue;
      offer(start, end, id, scores_[id] + best[start].score);
      has_single_character |= end - start == length;
    }
    if (!has_single_character) {
      if (!unknown_id_) {
        throw Error(concat(where_,
                           ": model.unk_id: expected an id, found none, and the text has the unknown character ",
                           piece.substr(start, length)));
      }
      offer(start, start + length, *unknown_id_, unknown_score_ + best[start].score);
    }
    start += length;
  }
  // Backwards; neighbouring unknown characters are one token.
  std::vector<std::string_view> tokens;
  bool unknown_before = false;
  for (size_t end = piece.size(); end > 0;) {
    const BestPath& path = best[end];
    const bool unknown = unknown_id_ && path.id == *unknown_id_;
    const std::string_view token = piece.substr(path.start, end - path.start);
    if (unknown && unknown_before) {
      tokens.back() = std::string_view(token.data(), token.size() + tokens.back().size());
    } else {
      tokens.push_back(token);
    }
    unknown_before = unknown;
    end = path.start;
  }
  for (auto token = tokens.rbegin(); token != tokens.rend(); ++token) append_token(*token, ids);
}

}  // namespace loraxs
