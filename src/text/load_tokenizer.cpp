#include <limits>

#include "io/error.h"
#include "io/fields.h"
#include "text/folder_tokens.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_json.h"
#include "text/vocabulary_files.h"

namespace loraxs {
namespace {

TokenizerParts read_parts(const std::filesystem::path& folder, Fields& settings) {
  const auto has = [&](const char* name) { return std::filesystem::exists(folder / name); };
  if (has("tokenizer.json")) {
    const std::filesystem::path path = folder / "tokenizer.json";
    nlohmann::json json = read_json(path);
    apply_settings(json, settings, folder);
    return parse_tokenizer_json(std::move(json), path.string());
  }
  if (has("vocab.txt")) return bert_from_vocab(folder / "vocab.txt", settings);
  if (has("vocab.json") && has("merges.txt")) {
    return byte_bpe_from_files(folder / "vocab.json", folder / "merges.txt", settings);
  }
  if (has("sentencepiece.bpe.model")) return xlm_roberta_from_model(folder / "sentencepiece.bpe.model");
  if (has("tokenizer.model")) return llama_from_model(folder / "tokenizer.model", settings);
  throw Error(concat(folder.string(),
                     ": expected tokenizer.json, vocab.txt, vocab.json with merges.txt, sentencepiece.bpe.model or "
                     "tokenizer.model, found none; fetch the model's tokenizer files too"));
}

/// `num_ids`: those that the model has embeddings for.
TokenizerParts read_folder(const std::filesystem::path& model, int64_t num_ids) {
  Fields settings = read_tokenizer_settings(model);
  TokenizerParts parts = read_parts(model, settings);
  add_folder_tokens(parts, settings, model, num_ids);
  return parts;
}

std::unique_ptr<Tokenizer> read_gguf_tokenizer(const std::filesystem::path& model, const std::string& pre_tokenizer) {
  GgufVocabulary vocabulary = read_vocabulary(read_gguf(model));
  if (!pre_tokenizer.empty()) vocabulary.pre = pre_tokenizer;
  return make_tokenizer(std::move(vocabulary), model.string());
}

}  // namespace

bool has_tokenizer(const std::filesystem::path& folder) {
  const auto has = [&](const char* name) { return std::filesystem::exists(folder / name); };
  return has("tokenizer.json") || has("vocab.txt") || (has("vocab.json") && has("merges.txt")) ||
         has("sentencepiece.bpe.model") || has("tokenizer.model");
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model, const std::string& pre_tokenizer) {
  return load_tokenizer(model, std::numeric_limits<int32_t>::max(), /*num_types=*/0, pre_tokenizer);
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model, int64_t num_ids, int64_t num_types,
                                          const std::string& pre_tokenizer) {
  const bool is_gguf = is_gguf_path(model);
  if (!is_gguf && !pre_tokenizer.empty()) {
    throw Error(concat(model.string(), ": --pre-tokenizer: expected none for a folder, whose tokenizer says it, found ",
                       pre_tokenizer));
  }
  std::unique_ptr<Tokenizer> tokenizer =
      is_gguf ? read_gguf_tokenizer(model, pre_tokenizer) : std::make_unique<Tokenizer>(read_folder(model, num_ids));
  tokenizer->require_ids_below(num_ids, num_types);
  return tokenizer;
}

}  // namespace loraxs
