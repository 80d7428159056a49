// text/gguf_vocabulary.h: a tokenizer between its two homes: Hugging Face's tokenizer.json and a GGUF file's metadata.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "text/tokenizer_gguf.h"

namespace loraxs {

/// The vocabulary of a folder's tokenizer.json as a GGUF file holds it, for a model of `vocab_size` tokens: byte-level
/// BPE as "gpt2", BPE with byte fallback as "llama", whose scores rank the tokens as the merges do. `tokenizer` is that
/// folder's, read. Ids without a token are padded as llama.cpp's converter does. What comes out is read back and must
/// give the folder's ids on texts of every kind, with each special token among them. Throws Error where it does not,
/// and for tokenizers that GGUF files have no words for, naming the part. One difference is left and goes into `note`:
/// a Metaspace that marks the first text alone, where "llama" marks the text behind a special token too.
GgufVocabulary gguf_vocabulary_of(const std::filesystem::path& folder, const Tokenizer& tokenizer, int64_t vocab_size,
                                  std::string& note);

/// The keys tokenizer.ggml.* with encoded values.
std::vector<std::pair<std::string, std::string>> gguf_vocabulary_metadata(const GgufVocabulary& vocabulary);

/// The same vocabulary as a tokenizer.json, and what tokenizer_config.json says beside it. Throws Error as
/// make_tokenizer.
nlohmann::json tokenizer_json_of(const GgufVocabulary& vocabulary, const std::string& where);
nlohmann::ordered_json tokenizer_config_of(const GgufVocabulary& vocabulary);

}  // namespace loraxs
