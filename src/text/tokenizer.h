// text/tokenizer.h: text to token ids and back, as the model's own tokenizer does it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/token_model.h"

namespace loraxs {

/// What a tokenizer is made of, in the order text passes through it.
struct TokenizerParts {
  std::string where;  // the file, for errors
  std::vector<AddedToken> added_tokens;
  std::vector<Normalizer> normalizer;
  std::vector<PreTokenizer> pre_tokenizer;
  std::unique_ptr<TokenModel> model;
  PostProcessor post_processor;
  DecodeSteps decoder;
  std::string description;  // of normalizer and pre_tokenizer, for the digest
  std::optional<int32_t> bos_id;
  std::vector<int32_t> eos_ids;  // any of them ends a text
};

struct TextOptions {
  bool add_special = true;    // BOS and EOS where the tokenizer adds them
  bool parse_special = true;  // "<|im_end|>" in the text is that token, not its characters
};

/// Invalid UTF-8 is read as U+FFFD. A text that the steps make too long or take too long for (TextLimit) is an Error.
/// Thread-safe.
class Tokenizer {
 public:
  /// Throws Error for an added token that the normalizer makes too long to look for.
  explicit Tokenizer(TokenizerParts parts);

  /// Throws Error naming the first token whose id is not below `num_ids`, or a token type that is not below `num_types`
  /// (0: the model looks up none): what an embedding would read from beyond its end.
  void require_ids_below(int64_t num_ids, int64_t num_types) const;
  /// One text or a pair with its special tokens, at most `max_length` ids; longer pairs lose tokens from the end of the
  /// longer text first (Hugging Face's "longest_first").
  Encoding encode(std::string_view first, std::optional<std::string_view> second, int64_t max_length) const;
  std::vector<int32_t> encode_text(std::string_view text, const TextOptions& options) const;
  /// Ids that are no tokens are left out.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

  std::optional<int32_t> token_id(std::string_view token) const;
  const std::string* token_of(int32_t id) const;  // as the vocabulary writes it, or null
  bool is_special(int32_t id) const;
  std::optional<int32_t> bos_id() const { return parts_.bos_id; }
  const std::vector<int32_t>& eos_ids() const { return parts_.eos_ids; }
  int64_t vocab_size() const { return vocab_size_; }  // the highest id of a token plus one
  const DecodeSteps& decoder() const { return parts_.decoder; }
  /// SHA-256 over everything that changes the ids (vocabulary and settings); adapters record it.
  const std::string& digest() const { return digest_; }

 private:
  std::vector<int32_t> ids_of(std::string_view text, bool parse_special) const;
  void append_ids(std::string text, bool at_start, TextLimit& limit, std::vector<int32_t>& ids) const;

  TokenizerParts parts_;
  AddedTokens added_;
  int64_t vocab_size_ = 0;
  std::string digest_;
};

/// The tokenizer in a GGUF file's metadata, or of a Hugging Face folder: tokenizer.json, else vocab.txt (BERT),
/// vocab.json with merges.txt (RoBERTa, GPT-2), sentencepiece.bpe.model (XLM-RoBERTa) or tokenizer.model (Llama, Gemma,
/// Mistral). Throws Error for a missing or damaged file, and for a kind that is not supported, naming those that are.
/// The other files of the folder have their say: text/folder_tokens.h. `pre_tokenizer`: how byte-level BPE of a GGUF
/// file cuts text, by a name of text/gguf_pre_tokenizers.h; empty: as the file says.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model, const std::string& pre_tokenizer = "");
/// The same for a model with embeddings of that many ids and token types, which it must stay below.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model, int64_t num_ids, int64_t num_types,
                                          const std::string& pre_tokenizer = "");
/// Whether load_tokenizer finds a file to read in a Hugging Face folder.
bool has_tokenizer(const std::filesystem::path& folder);

}  // namespace loraxs
