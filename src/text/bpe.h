// text/bpe.h: byte-pair encoding: characters, merged pair by pair in the order the merges were learnt.
#pragma once
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/token_model.h"
#include "text/vocabulary.h"

namespace loraxs {

struct BpeConfig {
  /// Two tokens that stand side by side become one.
  struct Merge {
    int32_t left = 0, right = 0, whole = 0;
  };
  Vocabulary vocab;
  std::vector<Merge> merges;        // first learnt first
  std::string unknown_token;        // empty: unknown characters are dropped
  std::string continuation_prefix;  // before every character of a piece but the first
  std::string end_of_word_suffix;   // behind the last
  bool fuse_unknown = false;        // neighbouring unknown characters are one token
  bool byte_fallback = false;       // an unknown character becomes its bytes, <0xE2>
  bool ignore_merges = false;       // a piece that is a token stays whole

  /// The next merge, by its tokens; the whole is written without the prefix of the right one. Throws Error, starting
  /// with `where`, for one that is not in the vocabulary.
  void add_merge(std::string_view left, std::string_view right, const std::string& where);
};

/// The token of a byte in vocabularies with byte fallback: <0xE2>.
std::string byte_token(unsigned char byte);

class BpeModel final : public TokenModel {
 public:
  /// Throws Error, starting with `where`, for an unknown token that is not in the vocabulary.
  BpeModel(BpeConfig config, const std::string& where);

  void append_ids(std::string_view piece, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> id_of(std::string_view token) const override { return config_.vocab.id_of(token); }
  const std::string* token_of(int32_t id) const override { return config_.vocab.token_of(id); }
  int64_t vocab_size() const override { return config_.vocab.size(); }
  void add_to(Sha256& digest) const override;

 private:
  struct Merge {
    int32_t rank = 0, id = 0;
  };
  struct PairHash {  // the identity, which is the library's, would let a file choose pairs that share one bucket
    size_t operator()(uint64_t pair) const {
      pair = (pair ^ pair >> 32) * 0x9E3779B97F4A7C15;
      return pair ^ pair >> 29;
    }
  };
  std::vector<int32_t> characters(std::string_view piece) const;
  const Merge* merge_of(int32_t left, int32_t right) const;
  void merge_all(std::vector<int32_t>& ids) const;

  BpeConfig config_;
  std::unordered_map<uint64_t, Merge, PairHash> merges_;  // of a pair of ids
  std::optional<int32_t> unknown_id_;
  std::vector<int32_t> byte_ids_;  // [256] with byte fallback, where all of them are in the vocabulary; -1 if not
};

}  // namespace loraxs
