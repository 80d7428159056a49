// text/unigram.h: the most probable way to write a piece as tokens (SentencePiece's Unigram model), found by Viterbi.
#pragma once
#include <string>
#include <vector>

#include "text/token_model.h"
#include "text/token_trie.h"
#include "text/vocabulary.h"

namespace loraxs {

struct UnigramConfig {
  std::vector<std::string> tokens;    // [vocab]
  std::vector<double> scores;         // [vocab] log probabilities
  std::optional<int32_t> unknown_id;  // none: unknown characters are an Error
  bool byte_fallback = false;         // unknown text becomes its bytes, <0xE2>
};

class UnigramModel final : public TokenModel {
 public:
  /// Throws Error, starting with `where`, for tokens that Vocabulary refuses.
  UnigramModel(UnigramConfig config, const std::string& where);

  void append_ids(std::string_view piece, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> id_of(std::string_view token) const override { return vocab_.id_of(token); }
  const std::string* token_of(int32_t id) const override { return vocab_.token_of(id); }
  int64_t vocab_size() const override { return vocab_.size(); }
  void add_to(Sha256& digest) const override;

 private:
  void append_token(std::string_view token, std::vector<int32_t>& ids) const;

  std::vector<double> scores_;
  std::optional<int32_t> unknown_id_;
  bool byte_fallback_ = false;
  Vocabulary vocab_;
  double unknown_score_ = 0;
  TokenTrie trie_;
  std::string where_;
};

}  // namespace loraxs
