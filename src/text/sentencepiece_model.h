// text/sentencepiece_model.h: a SentencePiece model (BPE or Unigram), run by libsentencepiece itself.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/token_model.h"

namespace sentencepiece {
class SentencePieceProcessor;
namespace util {
class Status;
}
}  // namespace sentencepiece

namespace loraxs {

/// Normalises and cuts text itself: it needs no normalizer and no pre-tokenizer before it.
class SentencePieceModel final : public TokenModel {
 public:
  enum class Numbering {
    kOwn,      // Llama, Gemma, Mistral, T5
    kFairseq,  // XLM-RoBERTa: <s> <pad> </s> <unk>, then the model's pieces from its fourth on, then <mask>
  };
  /// Throws Error for a file that is no SentencePiece model, or one that the library could not read safely.
  SentencePieceModel(const std::filesystem::path& path, Numbering numbering);
  ~SentencePieceModel() override;

  void append_ids(std::string_view text, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> id_of(std::string_view token) const override;
  const std::string* token_of(int32_t id) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  void add_to(Sha256& digest) const override;

  std::vector<AddedToken> special_tokens() const;  // the model's control symbols and its unknown token
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  DecodeSteps decoder() const;  // the same text as libsentencepiece's

 private:
  /// Calls the library; whatever it reports or throws becomes an Error: "expected …, found something else".
  void guarded(const char* expected, const std::function<sentencepiece::util::Status()>& call) const;

  std::string where_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  Numbering numbering_;
  std::string model_digest_;
  std::vector<std::string> tokens_;  // [vocab], as numbered here
  std::unordered_map<std::string_view, int32_t> ids_;
  bool drop_first_blank_ = true, drop_all_first_blanks_ = true;  // on decoding
};

}  // namespace loraxs
