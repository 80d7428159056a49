#include "text/tokenizer_gguf.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "io/error.h"
#include "text/bpe.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/token_trie.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"
#include "text/vocabulary_files.h"

namespace loraxs {
namespace {

GgufPipeline byte_level_pipeline(const std::string& pre, const std::string& where) {
  const Preparation& preparation = find_preparation(pre, where + ": tokenizer.ggml.pre");
  return {.normalizer = preparation.normalizer,
          .pre_tokenizer = preparation.pre_tokenizer,
          .decoder = {{"type", "ByteLevel"}},
          .ignore_merges = preparation.ignore_merges,
          .add_bos = preparation.add_bos};
}

GgufPipeline sentencepiece_pipeline(bool add_space_prefix) {
  const nlohmann::json blank = {{"String", " "}}, mark = {{"String", "▁"}};
  nlohmann::json normalizers = nlohmann::json::array({{{"type", "Replace"}, {"pattern", blank}, {"content", "▁"}}});
  nlohmann::json decoders = {
      {{"type", "Replace"}, {"pattern", mark}, {"content", " "}}, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (add_space_prefix) {
    normalizers.insert(normalizers.begin(), nlohmann::json::object({{"type", "Prepend"}, {"prepend", "▁"}}));
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return {.normalizer = {{"type", "Sequence"}, {"normalizers", normalizers}},
          .decoder = {{"type", "Sequence"}, {"decoders", decoders}},
          .add_bos = true};
}

TokenizerParts parts_of(const GgufPipeline& pipeline, const std::string& where) {
  return parse_pipeline(
      {{"normalizer", pipeline.normalizer}, {"pre_tokenizer", pipeline.pre_tokenizer}, {"decoder", pipeline.decoder}},
      where);
}

TokenizerParts byte_level_bpe(GgufVocabulary& vocabulary, const std::string& where) {
  const GgufPipeline pipeline = gguf_pipeline(vocabulary, where);
  TokenizerParts parts = parts_of(pipeline, where);
  BpeConfig config = {.vocab = Vocabulary(vocabulary.tokens, where + ": tokenizer.ggml.tokens"),
                      .ignore_merges = pipeline.ignore_merges};
  for (size_t i = 0; i < vocabulary.merges.size(); ++i) {
    const std::string_view merge = vocabulary.merges[i];
    const size_t blank = merge.find(' ', 1);
    if (blank == std::string_view::npos) {
      throw Error(concat(where, ": tokenizer.ggml.merges[", i, "]: expected two tokens, found \"", merge, "\""));
    }
    config.add_merge(merge.substr(0, blank), merge.substr(blank + 1), where);
  }
  parts.model = std::make_unique<BpeModel>(std::move(config), where);
  return parts;
}

/// For each cut of `token` the id of what stands before it, or kNone; [bytes + 1].
std::vector<int32_t> prefixes(const TokenTrie& trie, std::string_view token) {
  std::vector<int32_t> ids(token.size() + 1, TokenTrie::kNone);
  int32_t node = TokenTrie::kRoot;
  for (size_t cut = 1; cut <= token.size() && (node = trie.child(node, token[cut - 1])) != TokenTrie::kNone; ++cut) {
    ids[cut] = trie.value(node);
  }
  return ids;
}

/// SentencePiece's BPE merges the pair whose result has the highest score; as ranks: every way to make each token,
/// tokens of higher score first, as Hugging Face converts them. Two tries find the ways in the time that reading a
/// token takes, one from its start and one from its end.
std::vector<BpeConfig::Merge> merges_by_score(const GgufVocabulary& vocabulary, const Vocabulary& vocab,
                                              const std::string& where) {
  const TokenTrie forwards(vocab.entries());
  std::vector<std::string> reversed;
  reversed.reserve(vocabulary.tokens.size());
  std::vector<std::pair<std::string_view, int32_t>> endings;
  for (const auto& [token, id] : vocab.entries())
    endings.emplace_back(reversed.emplace_back(token.rbegin(), token.rend()), id);
  const TokenTrie backwards(std::move(endings));
  struct Way {
    float score;
    BpeConfig::Merge merge;
  };
  std::vector<Way> ways;
  const size_t most = 4 * vocabulary.tokens.size() + 65'536;  // Gemma's have 2 a token
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (token.empty()) continue;
    const std::vector<int32_t> left = prefixes(forwards, token),
                               right = prefixes(backwards, std::string(token.rbegin(), token.rend()));
    const int32_t whole = left.back();
    for (size_t cut = 1; cut < token.size(); ++cut) {
      if (left[cut] == TokenTrie::kNone || right[token.size() - cut] == TokenTrie::kNone) continue;
      ways.push_back({vocabulary.scores[id], {left[cut], right[token.size() - cut], whole}});
    }
    if (ways.size() > most) {
      throw Error(concat(where, ": tokenizer.ggml.tokens: expected at most ", most,
                         " pairs of tokens that are a token, found more"));
    }
  }
  std::stable_sort(ways.begin(), ways.end(), [](const Way& x, const Way& y) {
    return std::tuple(-x.score, x.merge.left, x.merge.right) < std::tuple(-y.score, y.merge.left, y.merge.right);
  });
  std::vector<BpeConfig::Merge> merges;
  merges.reserve(ways.size());
  for (const Way& way : ways) merges.push_back(way.merge);
  return merges;
}

TokenizerParts sentencepiece_bpe(GgufVocabulary& vocabulary, const std::string& where) {
  if (vocabulary.scores.size() != vocabulary.tokens.size()) {
    throw Error(concat(where, ": tokenizer.ggml.scores: expected ", vocabulary.tokens.size(), " of them, found ",
                       vocabulary.scores.size()));
  }
  for (size_t id = 0; id < vocabulary.scores.size(); ++id) {
    if (std::isnan(vocabulary.scores[id])) {
      throw Error(concat(where, ": tokenizer.ggml.scores[", id, "]: expected a number, found NaN"));
    }
  }
  TokenizerParts parts = parts_of(gguf_pipeline(vocabulary, where), where);
  BpeConfig config = {.vocab = Vocabulary(vocabulary.tokens, where + ": tokenizer.ggml.tokens"),
                      .fuse_unknown = true,
                      .byte_fallback = true};
  config.merges = merges_by_score(vocabulary, config.vocab, where);
  if (vocabulary.unknown_token_id) config.unknown_token = vocabulary.tokens[*vocabulary.unknown_token_id];
  parts.model = std::make_unique<BpeModel>(std::move(config), where);
  return parts;
}

int32_t clamped(int64_t value) {  // what does not fit is no id and no type either
  return static_cast<int32_t>(std::clamp<int64_t>(value, -1, std::numeric_limits<int32_t>::max()));
}

}  // namespace

GgufPipeline gguf_pipeline(const GgufVocabulary& vocabulary, const std::string& where) {
  if (vocabulary.model == "gpt2") return byte_level_pipeline(vocabulary.pre, where);
  if (vocabulary.model == "llama") return sentencepiece_pipeline(vocabulary.add_space_prefix.value_or(true));
  throw Error(concat(where, ": tokenizer.ggml.model: expected gpt2 or llama, found \"", vocabulary.model, "\""));
}

std::vector<std::string> gguf_pre_names() {
  std::vector<std::string> names = {"llama-bpe", "qwen2", "smollm", "gpt-2"};
  for (const std::string& name : preparation_names()) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::vector<BpeConfig::Merge> gguf_merges(const GgufVocabulary& vocabulary, const Vocabulary& vocab,
                                          const std::string& where) {
  return merges_by_score(vocabulary, vocab, where);
}

std::vector<int32_t> ends_of(const GgufVocabulary& vocabulary) {
  std::vector<int32_t> ends;
  for (const auto& end : {vocabulary.eos_token_id, vocabulary.eot_token_id, vocabulary.eom_token_id}) {
    if (end && std::find(ends.begin(), ends.end(), *end) == ends.end()) ends.push_back(*end);
  }
  return ends;
}

GgufVocabulary read_vocabulary(const Gguf& file) {
  const auto key = [](const char* name) { return concat("tokenizer.ggml.", name); };
  const auto text = [&](const char* name) { return file.has(key(name)) ? std::string(file.text(key(name))) : ""; };
  const auto id = [&](const char* name) -> std::optional<int32_t> {
    if (!file.has(key(name))) return std::nullopt;
    return clamped(file.integer(key(name)));
  };
  const auto flag = [&](const char* name) -> std::optional<bool> {
    return file.has(key(name)) ? std::optional(file.boolean(key(name))) : std::nullopt;
  };
  GgufVocabulary vocabulary = {.model = text("model"),
                               .pre = text("pre"),
                               .bos_token_id = id("bos_token_id"),
                               .eos_token_id = id("eos_token_id"),
                               .eot_token_id = id("eot_token_id"),
                               .eom_token_id = id("eom_token_id"),
                               .unknown_token_id = id("unknown_token_id"),
                               .add_bos_token = flag("add_bos_token"),
                               .add_eos_token = flag("add_eos_token"),
                               .add_space_prefix = flag("add_space_prefix")};
  // Checked before they are copied: what a file holds in a byte takes up to 48 here.
  const auto has_list = [&](const char* name, size_t most) {
    const auto found = file.metadata.find(key(name));
    if (found == file.metadata.end()) return false;
    const GgufValue& value = found->second;
    if (value.kind == GgufKind::kArray && value.count > most) {
      throw Error(
          concat(file.path.string(), ": ", key(name), ": expected at most ", most, " of them, found ", value.count));
    }
    return true;
  };
  const auto copy_strings = [&](const char* name, std::vector<std::string>& out, size_t most) {
    if (!has_list(name, most)) return;
    const size_t bytes = file.metadata.find(key(name))->second.payload.size();
    constexpr size_t kMostBytes = 64 << 20;
    if (bytes > kMostBytes) {
      throw Error(
          concat(file.path.string(), ": ", key(name), ": expected at most ", kMostBytes, " bytes, found ", bytes));
    }
    for (const std::string_view each : file.strings(key(name))) out.push_back(valid_utf8(each));
  };
  copy_strings("tokens", vocabulary.tokens, Vocabulary::kMostTokens);
  copy_strings("merges", vocabulary.merges, Vocabulary::kMostTokens);
  if (vocabulary.tokens.empty()) return vocabulary;  // the rest is about them
  if (has_list("scores", vocabulary.tokens.size())) {
    const std::vector<double> scores = file.numbers(key("scores"));
    vocabulary.scores.assign(scores.begin(), scores.end());
  }
  if (has_list("token_type", vocabulary.tokens.size())) {
    for (const int64_t type : file.integers(key("token_type"))) vocabulary.token_type.push_back(clamped(type));
  }
  return vocabulary;
}

std::unique_ptr<Tokenizer> make_tokenizer(GgufVocabulary vocabulary, const std::string& where) {
  const size_t count = vocabulary.tokens.size();
  if (count == 0) throw Error(where + ": tokenizer.ggml.tokens: expected the vocabulary, found none");
  if (!vocabulary.token_type.empty() && vocabulary.token_type.size() != count) {
    throw Error(concat(where, ": tokenizer.ggml.token_type: expected ", count, " of them, found ",
                       vocabulary.token_type.size()));
  }
  const std::pair<const char*, std::optional<int32_t>> ids[] = {{"bos_token_id", vocabulary.bos_token_id},
                                                                {"eos_token_id", vocabulary.eos_token_id},
                                                                {"eot_token_id", vocabulary.eot_token_id},
                                                                {"eom_token_id", vocabulary.eom_token_id},
                                                                {"unknown_token_id", vocabulary.unknown_token_id}};
  for (const auto& [name, id] : ids) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= count)) {
      throw Error(concat(where, ": tokenizer.ggml.", name, ": expected an id below ", count, ", found ", *id));
    }
  }
  const GgufPipeline pipeline = gguf_pipeline(vocabulary, where);
  const bool gpt2 = vocabulary.model == "gpt2";
  TokenizerParts parts = gpt2 ? byte_level_bpe(vocabulary, where) : sentencepiece_bpe(vocabulary, where);
  for (size_t id = 0; id < vocabulary.token_type.size(); ++id) {
    const int32_t type = vocabulary.token_type[id];
    if (type != kControlToken && type != kUserToken && type != kUnknownToken) continue;
    parts.added_tokens.push_back(
        {.content = vocabulary.tokens[id], .id = static_cast<int32_t>(id), .special = type != kUserToken});
  }
  parts.bos_id = vocabulary.bos_token_id;
  parts.eos_ids = ends_of(vocabulary);
  parts.where = where;
  const bool bos = vocabulary.add_bos_token.value_or(pipeline.add_bos), eos = vocabulary.add_eos_token.value_or(false);
  parts.post_processor =
      bos_eos_template(bos ? vocabulary.bos_token_id : std::nullopt, eos ? vocabulary.eos_token_id : std::nullopt);
  return std::make_unique<Tokenizer>(std::move(parts));
}

}  // namespace loraxs
