// text/vocabulary_files.h: tokenizers of folders without a tokenizer.json, from the files that came before it.
#pragma once
#include <filesystem>

#include "io/fields.h"
#include "text/tokenizer.h"

namespace loraxs {

/// `settings` is tokenizer_config.json, or empty. Each throws Error for a damaged file.
TokenizerParts bert_from_vocab(const std::filesystem::path& vocab_txt, Fields settings);
/// Byte-level BPE: RoBERTa's special tokens where the vocabulary has <s> and </s>, else GPT-2's.
TokenizerParts byte_bpe_from_files(const std::filesystem::path& vocab_json, const std::filesystem::path& merges_txt,
                                   Fields settings);
TokenizerParts xlm_roberta_from_model(const std::filesystem::path& sentencepiece_bpe_model);
/// BOS is added unless "add_bos_token" is false, EOS if "add_eos_token" is true. Texts between special tokens are
/// encoded one by one, each as libsentencepiece does (with its blank before the text, where the model has one).
TokenizerParts llama_from_model(const std::filesystem::path& tokenizer_model, Fields settings);

/// `add_bos` and `add_eos` as a template: around one text, and around both of a pair.
PostProcessor bos_eos_template(std::optional<int32_t> bos, std::optional<int32_t> eos);

}  // namespace loraxs
