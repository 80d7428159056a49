// text/wordpiece.h: BERT's model: the longest known pieces of a word from the left.
#pragma once
#include <string>
#include <vector>

#include "text/token_model.h"
#include "text/token_trie.h"
#include "text/vocabulary.h"

namespace loraxs {

struct WordPieceConfig {
  Vocabulary vocab;
  std::string unknown_token = "[UNK]";
  std::string continuation = "##";   // before every piece of a word but the first
  int64_t max_chars_per_word = 100;  // a longer word is unknown
};

class WordPieceModel final : public TokenModel {
 public:
  WordPieceModel(WordPieceConfig config, const std::string& where);

  void append_ids(std::string_view word, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> id_of(std::string_view token) const override { return config_.vocab.id_of(token); }
  const std::string* token_of(int32_t id) const override { return config_.vocab.token_of(id); }
  int64_t vocab_size() const override { return config_.vocab.size(); }
  void add_to(Sha256& digest) const override;

 private:
  WordPieceConfig config_;
  int32_t unknown_id_ = 0;
  TokenTrie trie_;
  int32_t inside_ = TokenTrie::kNone;  // the node of the continuation
};

}  // namespace loraxs
