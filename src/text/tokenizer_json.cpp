#include "text/tokenizer_json.h"

#include <unordered_map>

#include "io/error.h"
#include "io/fields.h"
#include "text/bpe.h"
#include "text/json_part.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

namespace loraxs {
namespace {

/// ["a b", …] or [["a", "b"], …].
void add_merges(BpeConfig& config, const nlohmann::json& list, const std::string& where) {
  if (!list.is_array()) throw Error(concat(where, ": model.merges: expected a list, found ", list.type_name()));
  config.merges.reserve(list.size());
  for (const auto& item : list) {
    using Text = const std::string&;
    if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      config.add_merge(item[0].get_ref<Text>(), item[1].get_ref<Text>(), where);
      continue;
    }
    const std::string_view text = item.is_string() ? item.get_ref<Text>() : std::string_view();
    const size_t blank = text.find(' ');
    if (blank == std::string::npos || text.find(' ', blank + 1) != std::string::npos) {
      throw Error(concat(where, ": model.merges[", config.merges.size(), "]: expected two tokens, found ",
                         item.is_string() ? text : item.type_name()));
    }
    config.add_merge(text.substr(0, blank), text.substr(blank + 1), where);
  }
}

std::unique_ptr<TokenModel> parse_unigram(Fields& fields, const nlohmann::json& vocab, const std::string& where) {
  UnigramConfig config;
  if (!vocab.is_array() || vocab.empty())
    throw Error(concat(where, ": model.vocab: expected a list of [token, score]"));
  for (const auto& item : vocab) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number()) {
      throw Error(concat(where, ": model.vocab[", config.tokens.size(), "]: expected [token, score]"));
    }
    config.tokens.push_back(item[0]);
    config.scores.push_back(item[1]);
  }
  if (fields.has("unk_id")) {
    const int64_t id = fields.non_negative_int("unk_id", 0);
    if (id >= static_cast<int64_t>(config.tokens.size())) {
      fields.fail("unk_id", concat("expected an id below ", config.tokens.size(), ", found ", id));
    }
    config.unknown_id = static_cast<int32_t>(id);
  }
  config.byte_fallback = fields.boolean("byte_fallback", false);
  return std::make_unique<UnigramModel>(std::move(config), where);
}

/// `json` is the "model" object; its large members are taken out of it before the rest is read.
std::unique_ptr<TokenModel> parse_model(nlohmann::json json, const std::string& where) {
  nlohmann::json vocab, merges;
  if (json.is_object() && json.contains("vocab")) vocab = std::move(json["vocab"]);
  if (json.is_object() && json.contains("merges")) merges = std::move(json["merges"]);
  Fields fields(std::move(json), where, "model");
  fields.ignore_unknown();
  const std::string vocab_place = where + ": model.vocab";
  std::string kind = fields.text("type", "");
  if (kind.empty() && merges.is_array()) kind = "BPE";  // files older than the "type"
  if (kind == "BPE") {
    if (fields.has("dropout") && fields.fraction("dropout", 0) > 0) fields.fail("dropout", "expected none");
    BpeConfig config = {.vocab = Vocabulary::from_json(vocab, vocab_place),
                        .unknown_token = fields.text("unk_token", ""),
                        .continuation_prefix = parse_affix(fields, "continuing_subword_prefix", ""),
                        .end_of_word_suffix = parse_affix(fields, "end_of_word_suffix", ""),
                        .fuse_unknown = fields.boolean("fuse_unk", false),
                        .byte_fallback = fields.boolean("byte_fallback", false),
                        .ignore_merges = fields.boolean("ignore_merges", false)};
    add_merges(config, merges, where);
    return std::make_unique<BpeModel>(std::move(config), where);
  }
  if (kind == "Unigram") return parse_unigram(fields, vocab, where);
  if (kind == "WordPiece") {
    WordPieceConfig config = {.vocab = Vocabulary::from_json(vocab, vocab_place),
                              .unknown_token = fields.text("unk_token", "[UNK]"),
                              .continuation = parse_affix(fields, "continuing_subword_prefix", "##"),
                              .max_chars_per_word = fields.positive_int("max_input_chars_per_word", 100)};
    return std::make_unique<WordPieceModel>(std::move(config), where);
  }
  fields.fail("type", concat("expected one of BPE, Unigram, WordPiece, found \"", kind, "\""));
}

std::vector<AddedToken> parse_added_tokens(const nlohmann::json& list, const TokenModel& model,
                                           const std::string& where) {
  std::vector<AddedToken> tokens;
  if (!list.is_null() && !list.is_array()) throw Error(concat(where, ": added_tokens: expected a list"));
  const int64_t highest = model.vocab_size() + static_cast<int64_t>(list.size()) + 1000;  // ids may have gaps
  for (size_t i = 0; i < list.size(); ++i) {
    Fields fields(list[i], where, concat("added_tokens[", i, "]"));
    fields.ignore_unknown();
    AddedToken token = {.content = fields.text("content", ""),
                        .special = fields.boolean("special", false),
                        .normalized = fields.boolean("normalized", false),
                        .lstrip = fields.boolean("lstrip", false),
                        .rstrip = fields.boolean("rstrip", false),
                        .single_word = fields.boolean("single_word", false)};
    if (token.content.empty()) fields.fail("content", "expected the token's text, found none");
    if (token.content.size() > Vocabulary::kLongestToken) {
      fields.fail("content",
                  concat("expected at most ", Vocabulary::kLongestToken, " bytes, found ", token.content.size()));
    }
    const int64_t id = fields.non_negative_int("id", highest + 1);
    if (id > highest) {
      fields.fail("id", concat("expected at most ", highest, ", found ", fields.has("id") ? concat(id) : "none"));
    }
    token.id = static_cast<int32_t>(id);
    if (const auto known = model.id_of(token.content)) token.id = *known;  // as Hugging Face: the model's id wins
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// Member `name`, or null.
const nlohmann::json& member(const nlohmann::json& json, const char* name) {
  static const nlohmann::json kNone;
  const auto found = json.find(name);
  return found == json.end() ? kNone : *found;
}

/// The values inside one another; `most` and more are not told apart.
size_t count_values(const nlohmann::json& json, size_t most) {
  size_t count = 1;
  if (!json.is_structured()) return count;
  for (auto each = json.begin(); each != json.end() && count < most; ++each) count += count_values(*each, most - count);
  return count;
}

/// A member that says how texts are cut, not what the tokens are: readers of such parts copy them.
const nlohmann::json& small_member(const nlohmann::json& json, const char* name, const std::string& where) {
  constexpr size_t kMostValues = 100'000;  // published ones have some hundreds
  const nlohmann::json& found = member(json, name);
  if (count_values(found, kMostValues + 1) > kMostValues) {
    throw Error(concat(where, ": ", name, ": expected at most ", kMostValues, " values in all, found more"));
  }
  return found;
}

}  // namespace

TokenizerParts parse_pipeline(const nlohmann::json& json, const std::string& where) {
  const auto part = [&](const char* name) -> const nlohmann::json& { return small_member(json, name, where); };
  TokenizerParts parts;
  parts.normalizer = parse_normalizer(part("normalizer"), where);
  parts.pre_tokenizer = parse_pre_tokenizer(part("pre_tokenizer"), where);
  parts.decoder = parse_decoder(part("decoder"), where);
  parts.description = concat(part("normalizer").dump(), '\n', part("pre_tokenizer").dump(), '\n');
  return parts;
}

TokenizerParts parse_tokenizer_json(nlohmann::json json, const std::string& where) {
  if (!json.is_object()) throw Error(concat(where, ": expected an object, found ", json.type_name()));
  TokenizerParts parts = parse_pipeline(json, where);
  parts.where = where;
  parts.model = parse_model(json.contains("model") ? std::move(json["model"]) : nlohmann::json(), where);
  parts.added_tokens = parse_added_tokens(member(json, "added_tokens"), *parts.model, where);
  std::unordered_map<std::string_view, int32_t> added;  // the first of a text, as it was told
  for (const AddedToken& token : parts.added_tokens) added.emplace(token.content, token.id);
  const TokenLookup lookup = [&](const std::string& token) {
    const auto found = added.find(token);
    return found == added.end() ? parts.model->id_of(token) : std::optional(found->second);
  };
  parts.post_processor = parse_post_processor(small_member(json, "post_processor", where), lookup, where);
  return parts;
}

}  // namespace loraxs
