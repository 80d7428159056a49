#include "text/gguf_vocabulary.h"

#include <algorithm>
#include <array>
#include <set>

#include "io/error.h"
#include "io/json.h"

namespace loraxs {
namespace {

/// A part of a tokenizer.json without what leaves the ids as they are, and with defaults said: two that do the same to
/// a text are equal.
nlohmann::json plain_part(const nlohmann::json& part) {
  if (!part.is_object()) return part;
  const std::string type = part.value("type", "");
  if (type == "Sequence") {
    nlohmann::json steps = nlohmann::json::array();
    for (const char* list : {"normalizers", "pretokenizers"}) {
      for (const nlohmann::json& each : part.value(list, nlohmann::json::array())) {
        const nlohmann::json step = plain_part(each);
        if (step.is_array()) {
          steps.insert(steps.end(), step.begin(), step.end());
        } else if (!step.is_null()) {
          steps.push_back(step);
        }
      }
    }
    return steps.empty() ? nlohmann::json() : steps.size() == 1 ? steps[0] : steps;
  }
  nlohmann::json plain = part;
  if (type == "ByteLevel") {
    plain = {{"type", type},
             {"add_prefix_space", part.value("add_prefix_space", true)},
             {"use_regex", part.value("use_regex", true)}};
  } else if (type == "Split") {
    plain["invert"] = part.value("invert", false);
    // llama.cpp spells the case of English contractions out.
    constexpr std::string_view kFolded = "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
                               kSpelled = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
    if (part.contains("pattern") && part["pattern"].contains("Regex") && part["pattern"]["Regex"].is_string()) {
      std::string expression = part["pattern"]["Regex"].get<std::string>();
      if (const size_t at = expression.find(kFolded); at != std::string::npos)
        plain["pattern"]["Regex"] = expression.replace(at, kFolded.size(), kSpelled);
    }
  }
  return plain;
}

bool same_part(const nlohmann::json& x, const nlohmann::json& y) { return plain_part(x) == plain_part(y); }

/// The name under which GGUF files have what this tokenizer does to a text before its model.
std::string pre_name(const nlohmann::json& json, const std::string& where) {
  const bool ignore_merges = json.at("model").value("ignore_merges", false);
  std::string known;
  for (const std::string& name : gguf_pre_names()) {
    const GgufPipeline pipeline = gguf_pipeline({.model = "gpt2", .pre = name}, where);
    known += (known.empty() ? "" : ", ") + name;
    if (pipeline.ignore_merges == ignore_merges &&
        same_part(pipeline.normalizer, json.value("normalizer", nlohmann::json())) &&
        same_part(pipeline.pre_tokenizer, json.value("pre_tokenizer", nlohmann::json()))) {
      return name;
    }
  }
  throw Error(concat(where, ": pre_tokenizer: expected what GGUF files call one of ", known, ", found ",
                     shortened(json_text(json.value("pre_tokenizer", nlohmann::json())), 120)));
}

/// How a SentencePiece tokenizer marks where a text begins.
struct BlankMark {
  bool prefix = true;  // a text starts with one
  bool fewer = false;  // but not where it has one of its own, nor behind a special token
};
BlankMark blank_mark(const nlohmann::json& json, const std::string& where) {
  const nlohmann::json normalizer = json.value("normalizer", nlohmann::json()),
                       before = json.value("pre_tokenizer", nlohmann::json());
  // Gemma's split at blanks finds none: they are marks by then.
  const bool splits_nothing = before.is_object() && before.value("type", "") == "Split" &&
                              before.value("pattern", nlohmann::json()) == nlohmann::json({{"String", " "}});
  for (const bool prefix : {true, false}) {
    const GgufPipeline pipeline = gguf_pipeline({.model = "llama", .add_space_prefix = prefix}, where);
    if ((before.is_null() || splits_nothing) && same_part(pipeline.normalizer, normalizer)) return {.prefix = prefix};
  }
  if (normalizer.is_null() && before.is_object() && before.value("type", "") == "Metaspace" &&
      before.value("replacement", "") == "▁" && !before.value("split", true)) {
    const std::string scheme = before.value("prepend_scheme", "always");
    return {.prefix = scheme != "never", .fewer = scheme != "never"};
  }
  throw Error(concat(where, ": normalizer: expected SentencePiece's (▁ for blanks), found ",
                     shortened(json_text(normalizer), 120)));
}

std::pair<std::string, std::string> merge_pair(const nlohmann::json& merge) {
  if (merge.is_array()) return {merge[0], merge[1]};  // the tokenizer was read: the form is right
  const auto text = merge.get<std::string>();
  const size_t blank = text.find(' ', 1);
  return {text.substr(0, blank), text.substr(blank + 1)};
}

/// Scores that rank the tokens as `merges` make them. Throws Error where merges of one token do not stand together, or
/// are not all there are.
void score_by_merges(GgufVocabulary& vocabulary, const nlohmann::json& merges, const std::string& where) {
  const Vocabulary vocab(vocabulary.tokens, where);
  vocabulary.scores.assign(vocabulary.tokens.size(), -static_cast<float>(vocabulary.tokens.size()));
  std::set<std::pair<int32_t, int32_t>> pairs;
  std::set<int32_t> done;
  int32_t last = -1;
  for (const nlohmann::json& merge : merges) {
    const auto [left, right] = merge_pair(merge);
    const int32_t whole = vocab.require(left + right, where);
    pairs.emplace(vocab.require(left, where), vocab.require(right, where));
    if (whole == last) continue;
    last = whole;
    if (!done.insert(whole).second) {
      throw Error(concat(where, ": model.merges: expected those of one token together, as SentencePiece's are, found ",
                         vocabulary.tokens[whole], " twice; GGUF files have scores of tokens, not merges"));
    }
    vocabulary.scores[whole] = -static_cast<float>(done.size());
  }
  std::set<std::pair<int32_t, int32_t>> made;
  for (const BpeConfig::Merge& merge : gguf_merges(vocabulary, vocab, where)) made.emplace(merge.left, merge.right);
  if (made == pairs) return;
  throw Error(concat(where, ": model.merges: expected every pair of tokens that is a token, as SentencePiece's are (",
                     made.size(), "), found ", pairs.size(), "; GGUF files have scores of tokens, not merges"));
}

// Each kind of thing that pre-tokenizers and normalizers treat of its own way.
constexpr std::array kProbes = {"",
                                "a",
                                " a",
                                "  two  blanks  ",
                                "The quick brown fox's don't WE'LL I'M",
                                "1 12 123 1234 12345678 3.14 1,000",
                                "tabs\tand\nlines\n\n\r\nends \n  indented",
                                "naïve café Ünïcödé ﬁ Å e\u0301",
                                "日本語のテキスト 中文 한국어 ไทย العربية हिन्दी",
                                "🙂 👩‍👩‍👧 \u200d \u00a0 \ufeff",
                                "def f(x):\n    return x**2  # ok\n",
                                "!!! ... ?!, (a[b]{c}) <tag/> a_b-c @x #y $z %",
                                "\u0001\u007f ▁ Ġ <0x41> [UNK]"};

/// A text for which the file's tokenizer gives other ids than the folder's; nothing where there is none.
std::optional<std::string> other_ids(const Tokenizer& written, const Tokenizer& tokenizer,
                                     const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    for (const bool special : {true, false}) {
      const TextOptions options{.add_special = special, .parse_special = true};
      if (tokenizer.encode_text(text, options) != written.encode_text(text, options)) return text;
    }
  }
  return std::nullopt;
}

/// Texts with each added token in them.
std::vector<std::string> texts_with_added(const GgufVocabulary& vocabulary) {
  constexpr size_t kMost = 1000;
  std::vector<std::string> texts;
  for (size_t id = 0; id < vocabulary.tokens.size() && texts.size() < kMost; ++id) {
    const int32_t type = vocabulary.token_type[id];
    const std::string& token = vocabulary.tokens[id];
    if (type == kControlToken || type == kUserToken) texts.push_back("a " + token + " b" + token + "c");
  }
  return texts;
}

/// Throws Error where they differ, but for marks in front of blanks and behind special tokens where the tokenizer has
/// `fewer_marks`, which become a note.
void check_same_ids(const GgufVocabulary& vocabulary, const Tokenizer& tokenizer, bool fewer_marks,
                    const std::string& where, std::string& note) {
  const std::unique_ptr<Tokenizer> written = make_tokenizer(vocabulary, where);
  std::vector<std::string> plain, marked = texts_with_added(vocabulary);
  for (const std::string probe : kProbes) (probe.starts_with(' ') ? marked : plain).push_back(probe);
  std::optional<std::string> text = other_ids(*written, tokenizer, plain);
  if (!text) text = other_ids(*written, tokenizer, marked);
  if (!text) return;
  if (fewer_marks && !other_ids(*written, tokenizer, plain)) {
    note =
        "GGUF tokenizers put a blank mark in front of a text's own blank and behind a special token, where this one "
        "puts none";
    return;
  }
  throw Error(concat(where, ": expected a tokenizer that a GGUF file can say, found other ids for \"",
                     shortened(*text, 60), "\" when it is read back"));
}

/// A part as the tokenizers library reads it, which wants every key.
nlohmann::json whole_part(nlohmann::json part) {
  if (!part.is_object()) return part;
  const std::string type = part.value("type", "");
  if (type == "ByteLevel") {
    part = {{"type", type},
            {"add_prefix_space", part.value("add_prefix_space", true)},
            {"trim_offsets", true},
            {"use_regex", part.value("use_regex", true)}};
  } else if (type == "Split" && !part.contains("invert")) {
    part["invert"] = false;
  }
  for (const char* list : {"normalizers", "pretokenizers", "decoders"}) {
    if (!part.contains(list)) continue;
    for (nlohmann::json& each : part[list]) each = whole_part(each);
  }
  return part;
}

}  // namespace

GgufVocabulary gguf_vocabulary_of(const std::filesystem::path& folder, const Tokenizer& tokenizer, int64_t vocab_size,
                                  std::string& note) {
  const std::filesystem::path path = folder / "tokenizer.json";
  const std::string where = path.string();
  if (!std::filesystem::exists(path)) {
    throw Error(concat(where,
                       ": expected this file, found none; AutoTokenizer.from_pretrained(…).save_pretrained(…) of ",
                       "transformers writes it"));
  }
  const nlohmann::json json = read_json(path);
  const nlohmann::json& model = json.at("model");
  if (const std::string type = model.value("type", "BPE"); type != "BPE") {
    throw Error(concat(where, ": model.type: expected BPE, which GGUF files hold, found ", type));
  }
  const bool bytes_fall_back = model.value("byte_fallback", false);
  GgufVocabulary vocabulary{.model = bytes_fall_back ? "llama" : "gpt2", .bos_token_id = tokenizer.bos_id()};
  std::set<int32_t> added;
  for (const nlohmann::json& token : json.value("added_tokens", nlohmann::json::array())) {
    const std::optional<int32_t> id = tokenizer.token_id(token.value("content", ""));
    if (id) added.insert(*id);
  }
  const nlohmann::json unknown_token = model.value("unk_token", nlohmann::json());
  const std::optional<int32_t> unknown =
      unknown_token.is_string() ? tokenizer.token_id(unknown_token.get<std::string>()) : std::nullopt;
  for (int32_t id = 0; id < vocab_size; ++id) {
    const std::string* token = tokenizer.token_of(id);
    const bool is_byte = token != nullptr && bytes_fall_back && token->size() == 6 && token->starts_with("<0x");
    vocabulary.tokens.push_back(token == nullptr ? concat("[PAD", id, "]") : *token);
    vocabulary.token_type.push_back(token == nullptr                   ? kUnusedToken
                                    : bytes_fall_back && id == unknown ? kUnknownToken
                                    : tokenizer.is_special(id)         ? kControlToken
                                    : added.contains(id)               ? kUserToken
                                    : is_byte                          ? kByteToken
                                                                       : kNormalToken);
  }
  const std::vector<int32_t>& ends = tokenizer.eos_ids();
  if (!ends.empty()) vocabulary.eos_token_id = ends[0];
  if (ends.size() > 1) vocabulary.eot_token_id = ends[1];
  if (ends.size() > 2) vocabulary.eom_token_id = ends[2];
  if (ends.size() > 3) {
    throw Error(concat((folder / "generation_config.json").string(), ": eos_token_id: expected at most 3 tokens that ",
                       "end a text, which a GGUF file can name, found ", ends.size()));
  }
  if (bytes_fall_back && unknown) vocabulary.unknown_token_id = unknown;
  const std::vector<int32_t> ids = tokenizer.encode_text("a", {.add_special = true, .parse_special = true});
  vocabulary.add_bos_token = !ids.empty() && tokenizer.bos_id() && ids.front() == *tokenizer.bos_id();
  vocabulary.add_eos_token = !ids.empty() && !ends.empty() && ids.back() == ends[0];
  const nlohmann::json merges = model.value("merges", nlohmann::json::array());
  bool fewer_marks = false;
  if (bytes_fall_back) {
    const BlankMark mark = blank_mark(json, where);
    vocabulary.add_space_prefix = mark.prefix;
    fewer_marks = mark.fewer;
    vocabulary.pre = "default";
    score_by_merges(vocabulary, merges, where);
  } else {
    vocabulary.pre = pre_name(json, where);
    for (const nlohmann::json& merge : merges) {
      const auto [left, right] = merge_pair(merge);
      vocabulary.merges.push_back(left + " " + right);
    }
  }
  check_same_ids(vocabulary, tokenizer, fewer_marks, where, note);
  return vocabulary;
}

std::vector<std::pair<std::string, std::string>> gguf_vocabulary_metadata(const GgufVocabulary& vocabulary) {
  std::vector<std::pair<std::string, std::string>> metadata;
  const auto add = [&](const char* name, std::string value) {
    metadata.emplace_back(concat("tokenizer.ggml.", name), std::move(value));
  };
  add("model", gguf_string(vocabulary.model));
  add("pre", gguf_string(vocabulary.pre));
  add("tokens", gguf_strings(vocabulary.tokens));
  if (!vocabulary.scores.empty()) add("scores", gguf_float32s(vocabulary.scores));
  add("token_type", gguf_int32s(vocabulary.token_type));
  if (!vocabulary.merges.empty()) add("merges", gguf_strings(vocabulary.merges));
  for (const auto& [name, id] : {std::pair{"bos_token_id", vocabulary.bos_token_id},
                                 {"eos_token_id", vocabulary.eos_token_id},
                                 {"eot_token_id", vocabulary.eot_token_id},
                                 {"eom_token_id", vocabulary.eom_token_id},
                                 {"unknown_token_id", vocabulary.unknown_token_id}}) {
    if (id) add(name, gguf_uint32(static_cast<uint32_t>(*id)));
  }
  for (const auto& [name, flag] : {std::pair{"add_bos_token", vocabulary.add_bos_token},
                                   {"add_eos_token", vocabulary.add_eos_token},
                                   {"add_space_prefix", vocabulary.add_space_prefix}}) {
    if (flag) add(name, gguf_bool(*flag));
  }
  return metadata;
}

nlohmann::json tokenizer_json_of(const GgufVocabulary& vocabulary, const std::string& where) {
  make_tokenizer(vocabulary, where);  // throws for what cannot be read
  const bool gpt2 = vocabulary.model == "gpt2";
  const GgufPipeline pipeline = gguf_pipeline(vocabulary, where);
  const Vocabulary vocab(vocabulary.tokens, where);
  nlohmann::json added = nlohmann::json::array(), ids = nlohmann::json::object(), merges = nlohmann::json::array();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (token.empty()) continue;
    if (vocab.id_of(token) != static_cast<int32_t>(id)) {
      throw Error(concat(where, ": tokenizer.ggml.tokens[", id, "]: expected every token once, found \"", token,
                         "\" twice, which tokenizer.json cannot say"));
    }
    const int32_t type = vocabulary.token_type.empty() ? kNormalToken : vocabulary.token_type[id];
    if (type == kControlToken || type == kUserToken || type == kUnknownToken) {
      added.push_back({{"id", id},
                       {"content", token},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", type != kUserToken}});
    }
  }
  for (const auto& [token, id] : vocab.entries()) ids[std::string(token)] = id;
  if (gpt2) {
    for (const std::string& merge : vocabulary.merges) {
      const auto [left, right] = merge_pair(merge);
      merges.push_back(nlohmann::json::array({left, right}));
    }
  } else {
    for (const BpeConfig::Merge& merge : gguf_merges(vocabulary, vocab, where)) {
      merges.push_back(nlohmann::json::array({vocabulary.tokens[merge.left], vocabulary.tokens[merge.right]}));
    }
  }
  const bool bos = vocabulary.add_bos_token.value_or(pipeline.add_bos) && vocabulary.bos_token_id,
             eos = vocabulary.add_eos_token.value_or(false) && vocabulary.eos_token_id;
  nlohmann::json processor;
  if (bos || eos) {
    nlohmann::json single = nlohmann::json::array(), pair = nlohmann::json::array(), special = nlohmann::json::object();
    const auto add_special = [&](std::optional<int32_t> id, nlohmann::json& to, int type) {
      const std::string& token = vocabulary.tokens[*id];
      to.push_back({{"SpecialToken", {{"id", token}, {"type_id", type}}}});
      special[token] = {
          {"id", token}, {"ids", nlohmann::json::array({*id})}, {"tokens", nlohmann::json::array({token})}};
    };
    const auto add_text = [&](const char* text, int type, nlohmann::json& to) {
      if (bos) add_special(vocabulary.bos_token_id, to, type);
      to.push_back({{"Sequence", {{"id", text}, {"type_id", type}}}});
      if (eos) add_special(vocabulary.eos_token_id, to, type);
    };
    add_text("A", 0, single);
    add_text("A", 0, pair);
    add_text("B", 1, pair);
    processor = {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
  }
  const std::optional<int32_t> unknown = vocabulary.unknown_token_id;
  nlohmann::json model = {
      {"type", "BPE"},
      {"dropout", nullptr},
      {"unk_token", !gpt2 && unknown ? nlohmann::json(vocabulary.tokens[*unknown]) : nlohmann::json()},
      {"continuing_subword_prefix", nullptr},
      {"end_of_word_suffix", nullptr},
      {"fuse_unk", !gpt2},
      {"byte_fallback", !gpt2},
      {"ignore_merges", pipeline.ignore_merges}};
  model["vocab"] = std::move(ids);
  model["merges"] = std::move(merges);
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", whole_part(pipeline.normalizer)},
          {"pre_tokenizer", whole_part(pipeline.pre_tokenizer)},
          {"post_processor", processor},
          {"decoder", whole_part(pipeline.decoder)},
          {"model", std::move(model)}};
}

nlohmann::ordered_json tokenizer_config_of(const GgufVocabulary& vocabulary) {
  nlohmann::ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                   {"clean_up_tokenization_spaces", false}};
  for (const auto& [name, id] : {std::pair{"bos_token", vocabulary.bos_token_id},
                                 {"eos_token", vocabulary.eos_token_id},
                                 {"unk_token", vocabulary.unknown_token_id}}) {
    if (id) config[name] = vocabulary.tokens.at(*id);
  }
  return config;
}

}  // namespace loraxs
