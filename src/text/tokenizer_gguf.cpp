#include "text/tokenizer_gguf.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

#include "io/error.h"
#include "text/bpe.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"
#include "text/vocabulary_files.h"

namespace loraxs {
namespace {

enum TokenType { kUnknown = 2, kControl = 3, kUserDefined = 4 };

/// How a family of byte-level BPE prepares text, as its tokenizer.json says it.
struct Preparation {
  nlohmann::json normalizer, pre_tokenizer;
  bool ignore_merges = false;
};

nlohmann::json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", use_regex}};
}

nlohmann::json sequence(const nlohmann::json& first, const nlohmann::json& second) {
  return {{"type", "Sequence"}, {"pretokenizers", {first, second}}};
}

/// Words with one character before them, numbers of up to `digits` digits, other characters, line ends, white space.
nlohmann::json words_and_numbers(const std::string& digits) {
  const std::string pattern = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + digits +
                              R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  return sequence({{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}}, byte_level(false));
}

const std::map<std::string, Preparation>& preparations() {
  static const std::map<std::string, Preparation> table = [] {
    const Preparation gpt2 = {.pre_tokenizer = byte_level(true)};
    const Preparation digits = {.pre_tokenizer =
                                    sequence({{"type", "Digits"}, {"individual_digits", true}}, byte_level(true))};
    const Preparation llama3 = {.pre_tokenizer = words_and_numbers(R"(\p{N}{1,3})"), .ignore_merges = true};
    const Preparation qwen2 = {.normalizer = {{"type", "NFC"}}, .pre_tokenizer = words_and_numbers(R"(\p{N})")};
    return std::map<std::string, Preparation>{{"gpt-2", gpt2},      {"olmo", gpt2},
                                              {"smollm", digits},   {"starcoder", digits},
                                              {"refact", digits},   {"llama-bpe", llama3},
                                              {"llama-v3", llama3}, {"llama3", llama3},
                                              {"qwen2", qwen2},     {"deepseek-r1-qwen", qwen2}};
  }();
  return table;
}

TokenizerParts byte_level_bpe(GgufVocabulary& vocabulary, const std::string& where) {
  const auto found = preparations().find(vocabulary.pre);
  if (found == preparations().end()) {
    std::string known;
    for (const auto& [name, each] : preparations()) known += (known.empty() ? "" : ", ") + name;
    throw Error(concat(where, ": tokenizer.ggml.pre: expected one of ", known, ", found \"", vocabulary.pre, "\""));
  }
  const Preparation& preparation = found->second;
  TokenizerParts parts = parse_pipeline({{"normalizer", preparation.normalizer},
                                         {"pre_tokenizer", preparation.pre_tokenizer},
                                         {"decoder", {{"type", "ByteLevel"}}}},
                                        where);
  BpeConfig config = {.vocab = Vocabulary(vocabulary.tokens), .ignore_merges = preparation.ignore_merges};
  for (size_t i = 0; i < vocabulary.merges.size(); ++i) {
    const std::string& merge = vocabulary.merges[i];
    const size_t blank = merge.find(' ', 1);
    if (blank == std::string::npos) {
      throw Error(concat(where, ": tokenizer.ggml.merges[", i, "]: expected two tokens, found \"", merge, "\""));
    }
    config.merges.emplace_back(merge.substr(0, blank), merge.substr(blank + 1));
  }
  parts.model = std::make_unique<BpeModel>(std::move(config), where);
  return parts;
}

/// SentencePiece's BPE merges the pair whose result has the highest score; as ranks: every way to make each token,
/// tokens of higher score first, as Hugging Face converts them.
std::vector<std::pair<std::string, std::string>> merges_by_score(const GgufVocabulary& vocabulary,
                                                                 const Vocabulary& vocab) {
  struct Way {
    float score;
    int32_t left, right;
  };
  std::vector<Way> ways;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string_view token = vocabulary.tokens[id];
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = vocab.id_of(token.substr(0, cut)), right = vocab.id_of(token.substr(cut));
      if (left && right) ways.push_back({vocabulary.scores[id], *left, *right});
    }
  }
  std::stable_sort(ways.begin(), ways.end(), [](const Way& x, const Way& y) {
    return std::tuple(-x.score, x.left, x.right) < std::tuple(-y.score, y.left, y.right);
  });
  std::vector<std::pair<std::string, std::string>> merges;
  merges.reserve(ways.size());
  for (const Way& way : ways) merges.emplace_back(vocabulary.tokens[way.left], vocabulary.tokens[way.right]);
  return merges;
}

TokenizerParts sentencepiece_bpe(GgufVocabulary& vocabulary, const std::string& where) {
  if (vocabulary.scores.size() != vocabulary.tokens.size()) {
    throw Error(concat(where, ": tokenizer.ggml.scores: expected ", vocabulary.tokens.size(), " of them, found ",
                       vocabulary.scores.size()));
  }
  const nlohmann::json blank = {{"String", " "}}, mark = {{"String", "▁"}};
  nlohmann::json normalizers = nlohmann::json::array({{{"type", "Replace"}, {"pattern", blank}, {"content", "▁"}}});
  nlohmann::json decoders = {
      {{"type", "Replace"}, {"pattern", mark}, {"content", " "}}, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (vocabulary.add_space_prefix.value_or(true)) {
    normalizers.insert(normalizers.begin(), nlohmann::json::object({{"type", "Prepend"}, {"prepend", "▁"}}));
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  TokenizerParts parts = parse_pipeline({{"normalizer", {{"type", "Sequence"}, {"normalizers", normalizers}}},
                                         {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}}},
                                        where);
  BpeConfig config = {.vocab = Vocabulary(vocabulary.tokens), .fuse_unknown = true, .byte_fallback = true};
  config.merges = merges_by_score(vocabulary, config.vocab);
  if (vocabulary.unknown_token_id) config.unknown_token = vocabulary.tokens[*vocabulary.unknown_token_id];
  parts.model = std::make_unique<BpeModel>(std::move(config), where);
  return parts;
}

}  // namespace

GgufVocabulary read_vocabulary(const Gguf& file) {
  const auto key = [](const char* name) { return concat("tokenizer.ggml.", name); };
  const auto text = [&](const char* name) { return file.has(key(name)) ? std::string(file.text(key(name))) : ""; };
  const auto id = [&](const char* name) -> std::optional<int32_t> {
    if (!file.has(key(name))) return std::nullopt;
    return static_cast<int32_t>(std::min<int64_t>(file.integer(key(name)), std::numeric_limits<int32_t>::max()));
  };
  const auto flag = [&](const char* name) -> std::optional<bool> {
    return file.has(key(name)) ? std::optional(file.boolean(key(name))) : std::nullopt;
  };
  GgufVocabulary vocabulary = {.model = text("model"),
                               .pre = text("pre"),
                               .bos_token_id = id("bos_token_id"),
                               .eos_token_id = id("eos_token_id"),
                               .eot_token_id = id("eot_token_id"),
                               .unknown_token_id = id("unknown_token_id"),
                               .add_bos_token = flag("add_bos_token"),
                               .add_eos_token = flag("add_eos_token"),
                               .add_space_prefix = flag("add_space_prefix")};
  const auto copy_strings = [&](const char* name, std::vector<std::string>& out) {
    if (!file.has(key(name))) return;
    for (const std::string_view each : file.strings(key(name))) out.push_back(valid_utf8(each));
  };
  copy_strings("tokens", vocabulary.tokens);
  copy_strings("merges", vocabulary.merges);
  if (file.has(key("scores"))) {
    const std::vector<double> scores = file.numbers(key("scores"));
    vocabulary.scores.assign(scores.begin(), scores.end());
  }
  if (file.has(key("token_type"))) {
    const std::vector<int64_t> types = file.integers(key("token_type"));
    vocabulary.token_type.assign(types.begin(), types.end());
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
                                                                {"unknown_token_id", vocabulary.unknown_token_id}};
  for (const auto& [name, id] : ids) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= count)) {
      throw Error(concat(where, ": tokenizer.ggml.", name, ": expected an id below ", count, ", found ", *id));
    }
  }
  if (vocabulary.model != "gpt2" && vocabulary.model != "llama") {
    throw Error(concat(where, ": tokenizer.ggml.model: expected gpt2 or llama, found \"", vocabulary.model, "\""));
  }
  const bool gpt2 = vocabulary.model == "gpt2";
  TokenizerParts parts = gpt2 ? byte_level_bpe(vocabulary, where) : sentencepiece_bpe(vocabulary, where);
  for (size_t id = 0; id < vocabulary.token_type.size(); ++id) {
    const int32_t type = vocabulary.token_type[id];
    if (type != kControl && type != kUserDefined && type != kUnknown) continue;
    parts.added_tokens.push_back(
        {.content = vocabulary.tokens[id], .id = static_cast<int32_t>(id), .special = type != kUserDefined});
  }
  parts.bos_id = vocabulary.bos_token_id;
  for (const auto& end : {vocabulary.eos_token_id, vocabulary.eot_token_id}) {
    if (end && std::find(parts.eos_ids.begin(), parts.eos_ids.end(), *end) == parts.eos_ids.end()) {
      parts.eos_ids.push_back(*end);
    }
  }
  const bool bos = vocabulary.add_bos_token.value_or(!gpt2), eos = vocabulary.add_eos_token.value_or(false);
  parts.post_processor =
      bos_eos_template(bos ? vocabulary.bos_token_id : std::nullopt, eos ? vocabulary.eos_token_id : std::nullopt);
  return std::make_unique<Tokenizer>(std::move(parts));
}

}  // namespace loraxs
