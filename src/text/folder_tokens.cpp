#include "text/folder_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "io/error.h"
#include "text/vocabulary.h"

namespace loraxs {
namespace {

constexpr size_t kMostAdded = 100'000;  // published tokenizers add up to 6,400

nlohmann::json read_object(const std::filesystem::path& path) {
  nlohmann::json json = std::filesystem::exists(path) ? read_json(path) : nlohmann::json::object();
  if (!json.is_object()) throw Error(concat(path.string(), ": expected an object, found ", json.type_name()));
  return json;
}

/// "</s>", or {"content": "</s>", "lstrip": …}. `special`: what it is unless it says otherwise.
AddedToken token_of(const nlohmann::json& json, bool special, const std::string& where, const std::string& key) {
  if (json.is_string()) return {.content = json.get<std::string>(), .special = special};
  if (!json.is_object() || !json.contains("content") || !json["content"].is_string()) {
    throw Error(concat(where, ": ", key, ": expected a text, or an object with one under content, found ",
                       shortened(json_text(json), 60)));
  }
  Fields fields(json, where, key);
  fields.ignore_unknown();
  AddedToken token = {.content = fields.text("content", ""),
                      .special = fields.boolean("special", special),
                      .lstrip = fields.boolean("lstrip", false),
                      .rstrip = fields.boolean("rstrip", false),
                      .single_word = fields.boolean("single_word", false)};
  token.normalized = fields.boolean("normalized", !token.special);
  return token;
}

/// The tokens of a tokenizer on their way, as the tokenizers package adds them.
class Adding {
 public:
  Adding(TokenizerParts& parts, std::string where, int64_t num_ids)
      : parts_(parts), where_(std::move(where)), num_ids_(num_ids) {
    for (size_t i = 0; i < parts.added_tokens.size(); ++i) note(i);
  }

  bool has(const std::string& content) const { return by_content_.contains(content); }
  const AddedToken* find(const std::string& content) const {
    const auto found = by_content_.find(content);
    return found == by_content_.end() ? nullptr : &parts_.added_tokens[found->second];
  }
  /// One that is not there yet and has an embedding.
  void add_named(AddedToken token, const std::string& key) {
    if (has(token.content)) return;
    if (!parts_.model->id_of(token.content) && next_id() >= num_ids_) return;
    add(std::move(token), key);
  }
  /// One that is there already takes over the flags of the new one.
  void add(AddedToken token, const std::string& key) {
    if (token.content.empty()) return;
    if (token.content.size() > Vocabulary::kLongestToken || parts_.added_tokens.size() >= kMostAdded) {
      throw Error(concat(where_, ": ", key, ": expected at most ", kMostAdded, " tokens of at most ",
                         Vocabulary::kLongestToken, " bytes, found more"));
    }
    if (const auto found = by_content_.find(token.content); found != by_content_.end()) {
      token.id = parts_.added_tokens[found->second].id;
      parts_.added_tokens[found->second] = std::move(token);
      return;
    }
    const auto known = parts_.model->id_of(token.content);
    token.id = known ? *known : static_cast<int32_t>(next_id());
    parts_.added_tokens.push_back(std::move(token));
    note(parts_.added_tokens.size() - 1);
  }

 private:
  int64_t next_id() const { return std::max<int64_t>(parts_.model->vocab_size(), highest_ + 1); }
  void note(size_t index) {
    by_content_[parts_.added_tokens[index].content] = index;
    highest_ = std::max<int64_t>(highest_, parts_.added_tokens[index].id);
  }

  TokenizerParts& parts_;
  std::string where_;
  std::unordered_map<std::string, size_t> by_content_;
  int64_t num_ids_ = 0, highest_ = -1;
};

/// In the order in which they are added: those with a name in every tokenizer, then the model's own.
constexpr std::array<std::string_view, 7> kNamed = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                    "pad_token", "cls_token", "mask_token"};
size_t order_of(const std::string& key) {
  return static_cast<size_t>(std::ranges::find(kNamed, key) - std::ranges::begin(kNamed));
}

/// Keys whose value is a token: bos_token, pad_token, image_token, … Others end so too: add_bos_token.
bool names_token(const std::string& key, const nlohmann::json& value) {
  if (!key.ends_with("_token") || value.is_null()) return false;
  return order_of(key) < kNamed.size() || value.is_string() || (value.is_object() && value.contains("content"));
}

/// The list under extra_special_tokens, or under additional_special_tokens, its older name; of an object, its values.
std::vector<nlohmann::json> extra_tokens(Fields& settings) {
  for (const char* key : {"extra_special_tokens", "additional_special_tokens"}) {
    const nlohmann::json list = settings.raw(key);
    if (list.is_null() || list.empty()) continue;
    if (!list.is_array() && !list.is_object())
      settings.fail(key, concat("expected a list of tokens, found ", list.type_name()));
    std::vector<nlohmann::json> tokens;
    for (const auto& each : list) tokens.push_back(each);
    return tokens;
  }
  return {};
}

/// added_tokens_decoder, or added_tokens.json where there is none: tokens in the order of their ids.
std::vector<std::pair<int64_t, AddedToken>> listed_tokens(Fields& settings, const std::filesystem::path& folder,
                                                          const std::unordered_set<std::string>& special) {
  std::vector<std::pair<int64_t, AddedToken>> tokens;
  const nlohmann::json decoder = settings.raw("added_tokens_decoder");
  if (decoder.is_object()) {
    for (const auto& [text, token] : decoder.items()) {
      int64_t id = 0;
      const auto parsed = std::from_chars(text.data(), text.data() + text.size(), id);
      if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
        settings.fail("added_tokens_decoder", concat("expected ids as keys, found \"", text, "\""));
      }
      if (!token.is_object()) {
        settings.fail("added_tokens_decoder." + text, concat("expected an object, found ", token.type_name()));
      }
      tokens.emplace_back(id, token_of(token, false, settings.where(), "added_tokens_decoder." + text));
    }
  } else if (!decoder.is_null()) {
    settings.fail("added_tokens_decoder", concat("expected an object of ids, found ", decoder.type_name()));
  } else {
    const std::filesystem::path path = folder / "added_tokens.json";
    const nlohmann::json added = read_object(path);
    for (const auto& [content, id] : added.items()) {
      if (!id.is_number_integer())
        throw Error(concat(path.string(), ": ", content, ": expected an id, found ", json_text(id)));
      const bool is_special = special.contains(content);
      tokens.emplace_back(id.get<int64_t>(),
                          AddedToken{.content = content, .special = is_special, .normalized = !is_special});
    }
  }
  std::stable_sort(tokens.begin(), tokens.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
  return tokens;
}

void add_ends(TokenizerParts& parts, const std::filesystem::path& folder, int64_t num_ids) {
  for (const std::string name : {"generation_config.json", "config.json"}) {
    Fields config(read_object(folder / name), (folder / name).string());
    const std::vector<int64_t> ids =
        config.has("eos_token_id") ? config.integers("eos_token_id", {}) : std::vector<int64_t>();
    for (const int64_t id : ids) {
      if (name == "config.json" && (id < 0 || id >= num_ids)) continue;  // "none", and what no model can write
      if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
        config.fail("eos_token_id", concat("expected ids of tokens, found ", id));
      }
      const auto end = static_cast<int32_t>(id);
      if (std::ranges::find(parts.eos_ids, end) == parts.eos_ids.end()) parts.eos_ids.push_back(end);
    }
    if (!ids.empty()) return;
  }
}

// Of models that name none (TOKENIZER_MAPPING_NAMES).
constexpr std::pair<std::string_view, std::string_view> kFamilyClasses[] = {
    {"bert", "BertTokenizer"},           {"distilbert", "BertTokenizer"}, {"roberta", "RobertaTokenizer"},
    {"xlm-roberta", "RobertaTokenizer"}, {"gemma", "GemmaTokenizer"},     {"qwen2", "Qwen2Tokenizer"},
    {"qwen3", "Qwen2Tokenizer"}};

/// Tokens that a class gives a name where tokenizer_config.json does not say another, or null.
struct ClassToken {
  std::string_view of_class, key, token;
};
constexpr ClassToken kClassTokens[] = {
    {"BertTokenizer", "unk_token", "[UNK]"},         {"BertTokenizer", "sep_token", "[SEP]"},
    {"BertTokenizer", "pad_token", "[PAD]"},         {"BertTokenizer", "cls_token", "[CLS]"},
    {"BertTokenizer", "mask_token", "[MASK]"},       {"RobertaTokenizer", "bos_token", "<s>"},
    {"RobertaTokenizer", "eos_token", "</s>"},       {"RobertaTokenizer", "unk_token", "<unk>"},
    {"RobertaTokenizer", "pad_token", "<pad>"},      {"RobertaTokenizer", "mask_token", "<mask>"},
    {"LlamaTokenizer", "bos_token", "<s>"},          {"LlamaTokenizer", "eos_token", "</s>"},
    {"LlamaTokenizer", "unk_token", "<unk>"},        {"GemmaTokenizer", "bos_token", "<bos>"},
    {"GemmaTokenizer", "eos_token", "<eos>"},        {"GemmaTokenizer", "unk_token", "<unk>"},
    {"GemmaTokenizer", "pad_token", "<pad>"},        {"GemmaTokenizer", "mask_token", "<mask>"},
    {"GPT2Tokenizer", "bos_token", "<|endoftext|>"}, {"GPT2Tokenizer", "eos_token", "<|endoftext|>"},
    {"Qwen2Tokenizer", "eos_token", "<|endoftext|>"}};

/// "BertTokenizer" of "BertTokenizerFast", of the class that transformers takes.
std::string tokenizer_class(Fields& settings, const std::filesystem::path& folder) {
  Fields config(read_object(folder / "config.json"), (folder / "config.json").string());
  config.ignore_unknown();
  std::string name = settings.text("tokenizer_class", "");
  if (name.empty()) name = config.text("tokenizer_class", "");
  const std::string family = config.text("model_type", "");
  for (const auto& [model, of_model] : kFamilyClasses) {
    if (name.empty() && family == model) name = of_model;
  }
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  if (name == "XLMRobertaTokenizer") return "RobertaTokenizer";
  return name == "DistilBertTokenizer" ? "BertTokenizer" : name;
}

}  // namespace

Fields read_tokenizer_settings(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer_config.json";
  nlohmann::json settings = read_object(path);
  if (!settings.contains("added_tokens_decoder")) {
    const nlohmann::json map = read_object(folder / "special_tokens_map.json");
    for (const auto& [key, value] : map.items()) {
      // As these are special tokens, and their list takes the place of an older one; of the newer name it grows.
      if (key == "extra_special_tokens" && value.is_array() && settings[key].is_array()) {
        for (const auto& token : value) settings[key].push_back(token);
      } else {
        settings[key] = value;
      }
    }
  }
  Fields fields(std::move(settings), path.string());
  fields.ignore_unknown();
  return fields;
}

void apply_settings(nlohmann::json& tokenizer, Fields& settings, const std::filesystem::path& folder) {
  if (!tokenizer.is_object()) return;
  const std::string name = tokenizer_class(settings, folder);
  const auto type_of = [&](const char* part) {
    const auto found = tokenizer.find(part);
    return found != tokenizer.end() && found->is_object() ? found->value("type", nlohmann::json()) : nlohmann::json();
  };
  if (name == "BertTokenizer" && type_of("normalizer") == "BertNormalizer") {
    nlohmann::json& normalizer = tokenizer["normalizer"];
    normalizer["clean_text"] = true;
    normalizer["handle_chinese_chars"] = settings.boolean("tokenize_chinese_chars", true);
    normalizer["lowercase"] = settings.boolean("do_lower_case", true);
    normalizer["strip_accents"] =
        settings.has("strip_accents") ? nlohmann::json(settings.boolean("strip_accents", true)) : nullptr;
  }
  if (name == "RobertaTokenizer" && type_of("pre_tokenizer") == "ByteLevel") {
    tokenizer["pre_tokenizer"]["add_prefix_space"] = settings.boolean("add_prefix_space", false);
  }
}

void add_folder_tokens(TokenizerParts& parts, Fields& settings, const std::filesystem::path& folder, int64_t num_ids) {
  Adding adding(parts, settings.where(), num_ids);
  std::vector<std::pair<std::string, AddedToken>> named;
  for (const std::string& key : settings.keys()) {
    const nlohmann::json* value = settings.peek(key);
    if (value != nullptr && names_token(key, *value))
      named.emplace_back(key, token_of(*value, true, settings.where(), key));
  }
  const std::string name = tokenizer_class(settings, folder);
  for (const auto& [of_class, key, token] : kClassTokens) {
    const std::string of_key(key), content(token);
    const bool told = settings.has(of_key) || settings.is_null(of_key);
    if (of_class != name || told || !parts.model->id_of(content)) continue;
    named.emplace_back(of_key, AddedToken{.content = content, .special = true});
  }
  std::ranges::stable_sort(named, {}, [](const auto& each) { return order_of(each.first); });
  std::vector<AddedToken> extra;
  for (const nlohmann::json& each : extra_tokens(settings)) {
    extra.push_back(token_of(each, true, settings.where(), "extra_special_tokens"));
  }
  std::unordered_set<std::string> names, special;
  for (const auto& [key, token] : named) names.insert(token.content);
  for (const AddedToken& token : extra) special.insert(token.content);
  special.insert(names.begin(), names.end());
  const bool has_decoder = settings.has("added_tokens_decoder");
  for (auto& [id, token] : listed_tokens(settings, folder, special)) {
    if (names.contains(token.content)) token.special = true;
    if (!has_decoder && adding.has(token.content)) continue;  // tokenizer.json has the last word on these
    adding.add(std::move(token), "added_tokens_decoder");
  }
  for (auto& [key, token] : named) {
    token.special = true;
    adding.add_named(token, key);
  }
  for (AddedToken& token : extra) {
    adding.add_named(std::move(token), "extra_special_tokens");
  }
  for (const auto& [key, token] : named) {
    const AddedToken* added = adding.find(token.content);
    if (added == nullptr) continue;
    if (key == "bos_token") parts.bos_id = added->id;
    if (key == "eos_token") parts.eos_ids = {added->id};
  }
  add_ends(parts, folder, num_ids);
}

}  // namespace loraxs
