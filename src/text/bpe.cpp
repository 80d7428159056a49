#include "text/bpe.h"

#include <algorithm>
#include <queue>
#include <utility>

#include "io/error.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

/// A merge that was possible when it was queued: the lowest rank first, then the leftmost.
struct Candidate {
  int32_t rank, position, id;
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

std::string byte_token(unsigned char byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + '>';
}

void BpeConfig::add_merge(std::string_view left, std::string_view right, const std::string& where) {
  const std::string_view tail =
      right.starts_with(continuation_prefix) ? right.substr(continuation_prefix.size()) : right;
  const std::string whole = std::string(left).append(tail);
  const auto require = [&](std::string_view token) {
    const auto id = vocab.id_of(token);
    return id ? *id : vocab.require(std::string(token), concat(where, ": merges[", merges.size(), "]"));
  };
  const int32_t whole_id = require(whole);  // named first: the longest says most
  merges.push_back({.left = require(left), .right = require(right), .whole = whole_id});
}

BpeModel::BpeModel(BpeConfig config, const std::string& where) : config_(std::move(config)) {
  const Vocabulary& vocab = config_.vocab;
  merges_.reserve(config_.merges.size());
  for (size_t i = 0; i < config_.merges.size(); ++i) {
    const auto& [left, right, whole] = config_.merges[i];
    merges_[pair_key(left, right)] = {static_cast<int32_t>(i), whole};
  }
  if (!config_.unknown_token.empty()) unknown_id_ = vocab.require(config_.unknown_token, where + ": unk_token");
  for (int byte = 0; byte < 256 && config_.byte_fallback; ++byte) {
    byte_ids_.push_back(vocab.id_of(byte_token(static_cast<unsigned char>(byte))).value_or(-1));
  }
}

void BpeModel::add_to(Sha256& digest) const {
  digest.update("BPE\n");
  config_.vocab.add_to(digest);
  for (const auto& [left, right, whole] : config_.merges) {
    digest.update(concat(*config_.vocab.token_of(left), ' ', *config_.vocab.token_of(right), '\n'));
  }
  digest.update(concat(config_.unknown_token, '\t', config_.continuation_prefix, '\t', config_.end_of_word_suffix, '\t',
                       config_.fuse_unknown, config_.byte_fallback, config_.ignore_merges, '\n'));
}

std::vector<int32_t> BpeModel::characters(std::string_view piece) const {
  std::vector<int32_t> ids;
  ids.reserve(piece.size());
  int32_t pending = -1;  // an unknown token that may be fused with the next
  const bool plain = config_.continuation_prefix.empty() && config_.end_of_word_suffix.empty();
  std::string decorated;
  for (size_t at = 0; at < piece.size();) {
    const std::string_view character = piece.substr(at, char_bytes(piece[at]));
    std::string_view token = character;
    if (!plain) {
      const bool first = at == 0, last = at + character.size() == piece.size();
      decorated.assign(first ? "" : config_.continuation_prefix).append(character);
      if (last) decorated += config_.end_of_word_suffix;
      token = decorated;
    }
    at += character.size();
    if (const auto id = config_.vocab.id_of(token)) {
      if (pending >= 0) ids.push_back(std::exchange(pending, -1));
      ids.push_back(*id);
      continue;
    }
    const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
    if (config_.byte_fallback && std::all_of(token.begin(), token.end(), [&](char c) { return byte_id(c) >= 0; })) {
      for (const char c : token) ids.push_back(byte_id(c));
      continue;
    }
    if (pending >= 0 && !config_.fuse_unknown) ids.push_back(pending);
    pending = unknown_id_.value_or(-1);
  }
  if (pending >= 0) ids.push_back(pending);
  return ids;
}

const BpeModel::Merge* BpeModel::merge_of(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void BpeModel::merge_all(std::vector<int32_t>& ids) const {
  constexpr size_t kShort =
      24;  // tokens up to which looking at all pairs is faster than keeping a queue (bench: words)
  if (ids.size() <= kShort) {
    while (true) {
      const Merge* best = nullptr;
      size_t place = 0;
      for (size_t i = 0; i + 1 < ids.size(); ++i) {
        const Merge* merge = merge_of(ids[i], ids[i + 1]);
        if (merge != nullptr && (best == nullptr || merge->rank < best->rank)) best = merge, place = i;
      }
      if (best == nullptr) return;
      ids[place] = best->id;
      ids.erase(ids.begin() + static_cast<int64_t>(place) + 1);
    }
  }
  // A linked list of what is left, and a queue of merges, some of them no longer possible when they come up.
  const auto count = static_cast<int32_t>(ids.size());
  constexpr int32_t kGone = -1;
  std::vector<int32_t> previous(ids.size()), next(ids.size());
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int32_t position) {
    if (position < 0 || next[position] >= count) return;
    if (const Merge* merge = merge_of(ids[position], ids[next[position]])) {
      queue.push({merge->rank, position, merge->id});
    }
  };
  for (int32_t i = 0; i < count; ++i) previous[i] = i - 1, next[i] = i + 1;
  for (int32_t i = 0; i < count; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    const int32_t right = ids[top.position] == kGone ? count : next[top.position];
    if (right >= count) continue;
    const Merge* merge = merge_of(ids[top.position], ids[right]);
    if (merge == nullptr || merge->id != top.id) continue;
    ids[top.position] = merge->id;
    ids[right] = kGone;
    next[top.position] = next[right];
    if (next[right] < count) previous[next[right]] = top.position;
    consider(previous[top.position]);
    consider(top.position);
  }
  std::erase(ids, kGone);
}

void BpeModel::append_ids(std::string_view piece, std::vector<int32_t>& ids) const {
  if (config_.ignore_merges) {
    if (const auto id = config_.vocab.id_of(piece)) {
      ids.push_back(*id);
      return;
    }
  }
  std::vector<int32_t> merged = characters(piece);
  merge_all(merged);
  ids.insert(ids.end(), merged.begin(), merged.end());
}

}  // namespace loraxs
