#include <algorithm>
#include <limits>

#include "io/error.h"
#include "io/fields.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_json.h"
#include "text/vocabulary_files.h"

namespace loraxs {
namespace {

/// "</s>" or {"content": "</s>", …}.
std::string token_text(const nlohmann::json& value) {
  if (value.is_string()) return value;
  return value.is_object() && value.value("content", nlohmann::json()).is_string() ? value["content"] : "";
}

nlohmann::json read_if_there(const std::filesystem::path& path) {
  return std::filesystem::exists(path) ? read_json(path) : nlohmann::json::object();
}

/// BOS and EOS by tokenizer_config.json, and what else ends a text by generation_config.json.
void find_ends(TokenizerParts& parts, const std::filesystem::path& folder, Fields settings) {
  const auto id_of = [&](const std::string& key) -> std::optional<int32_t> {
    const std::string token = token_text(settings.raw(key));
    for (const AddedToken& added : parts.added_tokens) {
      if (added.content == token) return added.id;
    }
    return parts.model->id_of(token);
  };
  if (const auto bos = id_of("bos_token")) parts.bos_id = bos;
  if (const auto eos = id_of("eos_token")) parts.eos_ids = {*eos};
  Fields generation(read_if_there(folder / "generation_config.json"), (folder / "generation_config.json").string());
  for (const int64_t id : generation.integers("eos_token_id", {})) {
    if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
      generation.fail("eos_token_id", concat("expected ids of tokens, found ", id));
    }
    const auto end = static_cast<int32_t>(id);
    if (std::find(parts.eos_ids.begin(), parts.eos_ids.end(), end) == parts.eos_ids.end()) parts.eos_ids.push_back(end);
  }
}

TokenizerParts read_parts(const std::filesystem::path& folder, const Fields& settings) {
  const auto has = [&](const char* name) { return std::filesystem::exists(folder / name); };
  if (has("tokenizer.json")) {
    const std::filesystem::path path = folder / "tokenizer.json";
    return parse_tokenizer_json(read_json(path), path.string());
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

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model) {
  if (is_gguf_path(model)) return make_tokenizer(read_vocabulary(read_gguf(model)), model.string());
  const std::filesystem::path config = model / "tokenizer_config.json";
  const Fields settings(read_if_there(config), config.string());
  TokenizerParts parts = read_parts(model, settings);
  find_ends(parts, model, settings);
  return std::make_unique<Tokenizer>(std::move(parts));
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model, int64_t num_ids, int64_t num_types) {
  std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(model);
  tokenizer->require_ids_below(num_ids, num_types);
  return tokenizer;
}

}  // namespace loraxs
