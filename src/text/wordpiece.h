// text/wordpiece.h: BERT's tokenizer: special tokens, words, then the longest known pieces from the left.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "io/fields.h"
#include "text/bert_normalizer.h"
#include "text/tokenizer.h"

namespace loraxs {

class WordPieceTokenizer final : public Tokenizer {
 public:
  /// One element of the template around texts: a special token, or the first or second text.
  struct TemplatePiece {
    enum class Kind { kSpecial, kFirst, kSecond } kind = Kind::kSpecial;
    int32_t id = 0;       // of a special token
    int32_t type_id = 0;  // token_type_id
  };
  struct Config {
    std::unordered_map<std::string, int32_t> vocab;
    std::vector<std::pair<std::string, int32_t>> special_tokens;  // matched in raw text
    BertNormalizerConfig normalizer;
    std::string unknown_token = "[UNK]";
    std::string continuation = "##";
    int64_t max_chars_per_word = 100;
    std::vector<TemplatePiece> single, pair;
  };

  WordPieceTokenizer(Config config, const std::string& where);

  /// From the parts of a tokenizer.json; from a vocab.txt with one token a line.
  static std::unique_ptr<WordPieceTokenizer> from_json(const nlohmann::json& json, const std::string& where);
  static std::unique_ptr<WordPieceTokenizer> from_vocab(const std::filesystem::path& vocab,
                                                        const nlohmann::json& settings);

  Encoding encode(std::string_view first, std::optional<std::string_view> second, int64_t max_length) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(config_.vocab.size()); }
  const std::string& digest() const override { return digest_; }

 private:
  std::vector<int32_t> pieces(std::string_view text) const;
  void add_word(const Word& word, std::vector<int32_t>& ids) const;

  Config config_;
  int32_t unknown_id_ = 0;
  size_t longest_piece_ = 0;  // bytes
  std::string digest_;
};

}  // namespace loraxs
