// text/tokenizer_gguf.h: a tokenizer from the metadata of a GGUF file.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/gguf.h"
#include "text/bpe.h"
#include "text/tokenizer.h"

namespace loraxs {

/// What tokenizer.ggml.token_type says of a token (llama.h, llama_token_type).
enum GgufTokenType : int32_t {
  kNormalToken = 1,
  kUnknownToken = 2,
  kControlToken = 3,
  kUserToken = 4,
  kUnusedToken = 5,
  kByteToken = 6
};

/// What the keys tokenizer.ggml.* hold, by their names.
struct GgufVocabulary {
  std::string model;                // "gpt2" (byte-level BPE) or "llama" (SentencePiece BPE)
  std::string pre;                  // how byte-level BPE cuts text: find_preparation
  std::vector<std::string> tokens;  // [vocab]
  std::vector<float> scores;        // [vocab], of "llama"
  std::vector<std::string> merges;  // "a b", of "gpt2"
  std::vector<int32_t> token_type;  // [vocab] GgufTokenType
  std::optional<int32_t> bos_token_id, eos_token_id, eot_token_id, eom_token_id, unknown_token_id;
  std::optional<bool> add_bos_token, add_eos_token, add_space_prefix;  // absent: as the kind of model has it
};

/// What ends a text, each once: eos, eot (of a turn), eom (of a message that calls a tool).
std::vector<int32_t> ends_of(const GgufVocabulary& vocabulary);

/// Reads those keys. Throws Error naming a key of another type.
GgufVocabulary read_vocabulary(const Gguf& file);

/// What a vocabulary's kind and `pre` do to a text before and after the model, as tokenizer.json says it.
struct GgufPipeline {
  nlohmann::json normalizer, pre_tokenizer, decoder;
  bool ignore_merges = false;
  bool add_bos = false;  // where the vocabulary does not say
};
/// Throws Error for another model or pre name, naming those known.
GgufPipeline gguf_pipeline(const GgufVocabulary& vocabulary, const std::string& where);
/// The pre names that are known, those first that llama.cpp's converter writes of the families here.
std::vector<std::string> gguf_pre_names();
/// The merges of a "llama" vocabulary, first those that make the tokens of highest score.
std::vector<BpeConfig::Merge> gguf_merges(const GgufVocabulary& vocabulary, const Vocabulary& vocab,
                                          const std::string& where);

/// `where` is the file. Throws Error for lists whose lengths or ids do not fit, and for another model or pre name,
/// naming those known.
std::unique_ptr<Tokenizer> make_tokenizer(GgufVocabulary vocabulary, const std::string& where);

}  // namespace loraxs
