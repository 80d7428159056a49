// What tokenizers' files say: tests/oracles/make_readings.py wrote what transformers and the tokenizers package make of
// them.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "io/json.h"
#include "support/expect_error.h"
#include "support/oracle_folder.h"
#include "support/temporary_folder.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_gguf.h"

namespace loraxs {
namespace {

std::filesystem::path readings_folder() { return test::oracle_folder() / "readings"; }

std::vector<std::string> cut(const nlohmann::json& pre_tokenizer, const std::string& text) {
  TextLimit limit(text.size());
  Pieces pieces = {.text = text, .ranges = {}, .at_start = true, .limit = limit};
  if (!text.empty()) pieces.ranges = {{0, text.size()}};
  for (const PreTokenizer& step : parse_pre_tokenizer(pre_tokenizer, "test")) step(pieces);
  std::vector<std::string> result;
  for (const Pieces::Range& range : pieces.ranges) result.emplace_back(pieces.of(range));
  return result;
}

nlohmann::json split_at_expression(const std::string& pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
}

/// Constructs that have no counterpart, or mean too little to be worth one: named, whatever Oniguruma makes of them.
const std::map<std::string, std::string> kRefused = {
    {R"(\xe4\xb8\x80)", R"(found \xe4)"},
    {R"(\x{61 62})", R"(found \x{…})"},
    {R"(\y)", R"(found \y)"},
    {R"(\Y)", R"(found \Y)"},
    {R"(\C-a)", R"(found \C-)"},
    {R"(\M-a)", R"(found \M-)"},
    {"(?~ab)", "found (?~"},
    {"(?P<n>a)", "found (?P"},
    {R"((?W)\w)", "found (?W"},
    {R"((?D)\d)", "found (?D"},
    {R"((?y{g})\X)", "found (?y"},
    {"(*FAIL)", "found (*"},
    {"a{3,1}", "found {3,1}"},
    {"(?i:ss)", "found (?i) with ss"},
    {"(?i:ﬁ)", "found (?i) with ﬁ"},
    {"(?s)a", "found (?s"},
    {"(?<=a+)b", "lookbehind assertion is not fixed length"},
    {R"([a-\d])", R"(found -\d in a class)"},
    {"[", "found [ in"},
    {R"(a\X)", R"(found \X)"},
};

TEST(OnigurumaTest, EveryConstructCutsAsTheOriginalOrIsRefusedByName) {
  const nlohmann::json table = read_json(readings_folder() / "expressions.json");
  const auto texts = table["texts"].get<std::vector<std::string>>();
  size_t compared = 0, refused = 0;
  for (const nlohmann::json& each : table["cases"]) {
    const auto pattern = each["pattern"].get<std::string>();
    SCOPED_TRACE(pattern);
    if (const auto found = kRefused.find(pattern); found != kRefused.end()) {
      EXPECT_ERROR(cut(split_at_expression(pattern), "a"), found->second);
      ++refused;
      continue;
    }
    if (each.contains("error")) continue;  // the original takes no such pattern
    try {
      for (size_t i = 0; i < texts.size(); ++i) {
        EXPECT_EQ(cut(split_at_expression(pattern), texts[i]), each["pieces"][i].get<std::vector<std::string>>())
            << texts[i];
        ++compared;
      }
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_EQ(refused, kRefused.size());
  EXPECT_GT(compared, 1500U);
}

TEST(OnigurumaTest, DeepAndLongExpressionsEnd) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + "a" + std::string(depth, ']'); };
  EXPECT_NO_THROW(cut(split_at_expression(nested(15)), "a"));
  EXPECT_ERROR(cut(split_at_expression(nested(5000)), "a"), "classes in each other");
  std::string counted = "a";
  for (int i = 0; i < 8000; ++i) counted += "{1}";
  EXPECT_ERROR(cut(split_at_expression(counted), "a"), "expected a regular expression");
  EXPECT_ERROR(cut(split_at_expression(std::string(40'000, 'a')), "a"), "expected a regular expression of at most");
}

TEST(OnigurumaTest, AQuantifierOfNothingIsAnErrorWhateverStandsBefore) {
  for (const char* pattern : {"a?(?=?b)", "a?|?b", "a?(?i)?b", "a?(?i:?b)", "?"})
    EXPECT_ERROR(cut(split_at_expression(pattern), "a"), "expected a regular expression");
}

TEST(FolderTokensTest, IdsAreThoseOfTransformers) {
  size_t folders = 0;
  for (const auto& entry : std::filesystem::directory_iterator(readings_folder() / "tokens")) {
    SCOPED_TRACE(entry.path().filename().string());
    ++folders;
    const nlohmann::json expected = read_json(entry.path() / "ids.json");
    const auto tokenizer = load_tokenizer(entry.path());
    for (size_t i = 0; i < expected["texts"].size(); ++i) {
      const auto text = expected["texts"][i].get<std::string>();
      EXPECT_EQ(tokenizer->encode_text(text, {}), expected["ids"][i].get<std::vector<int32_t>>()) << text;
    }
    const nlohmann::json bos = tokenizer->bos_id() ? nlohmann::json(*tokenizer->bos_id()) : nullptr;
    const nlohmann::json eos =
        tokenizer->eos_ids().empty() ? nlohmann::json() : nlohmann::json(tokenizer->eos_ids().front());
    EXPECT_TRUE(expected["bos"].is_null() || bos == expected["bos"]) << bos << expected["bos"];
    EXPECT_TRUE(expected["eos"].is_null() || eos == expected["eos"]) << eos << expected["eos"];
  }
  EXPECT_GE(folders, 28U);
}

/// A folder of the oracles with other files.
struct TokenFolder {
  test::TemporaryFolder folder;
  explicit TokenFolder(const std::map<std::string, nlohmann::json>& files) {
    std::filesystem::copy(readings_folder() / "tokens" / "plain" / "tokenizer.json", folder / "tokenizer.json");
    for (const auto& [name, content] : files) std::ofstream(folder / name) << content.dump();
  }
};

TEST(FolderTokensTest, EndsAreToldByGenerationConfigElseByConfig) {
  const auto ends = [](const std::map<std::string, nlohmann::json>& files) {
    return load_tokenizer(TokenFolder(files).folder.path())->eos_ids();
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(ends({}), Ids{});
  EXPECT_EQ(ends({{"config.json", {{"eos_token_id", 5}}}}), Ids{5});
  EXPECT_EQ(ends({{"config.json", {{"eos_token_id", {5, 6}}}}}), (Ids{5, 6}));
  EXPECT_EQ(ends({{"config.json", {{"eos_token_id", 5}}}, {"generation_config.json", {{"eos_token_id", {1, 6}}}}}),
            (Ids{1, 6}));
  EXPECT_EQ(ends({{"config.json", {{"eos_token_id", 5}}}, {"generation_config.json", {{"top_p", 0.5}}}}), Ids{5});
  EXPECT_EQ(ends({{"config.json", {{"eos_token_id", 5}}}, {"tokenizer_config.json", {{"eos_token", "</s>"}}}}),
            (Ids{1, 5}));
}

TEST(FolderTokensTest, NamesWithoutAnEmbeddingDoNotKeepAModelFromLoading) {
  const TokenFolder folder({{"tokenizer_config.json", {{"pad_token", "[PAD]"}, {"eos_token", "</s>"}}}});
  EXPECT_EQ(load_tokenizer(folder.folder.path())->token_id("[PAD]"), 340);
  EXPECT_FALSE(load_tokenizer(folder.folder.path(), 340, 0)->token_id("[PAD]"));
  EXPECT_EQ(load_tokenizer(folder.folder.path(), 341, 0)->token_id("[PAD]"), 340);
}

TEST(FolderTokensTest, WhatIsNoTokenIsAnError) {
  const auto expect = [](const std::map<std::string, nlohmann::json>& files, const char* message) {
    EXPECT_ERROR(load_tokenizer(TokenFolder(files).folder.path()), message);
  };
  expect({{"tokenizer_config.json", {{"added_tokens_decoder", {{"x", {{"content", "a"}}}}}}}},
         "added_tokens_decoder: expected ids as keys");
  expect({{"tokenizer_config.json", {{"extra_special_tokens", 3}}}}, "extra_special_tokens: expected a list of tokens");
  expect({{"tokenizer_config.json", {{"extra_special_tokens", {3}}}}},
         "extra_special_tokens: expected a text, or an object with");
  for (const nlohmann::json& none :
       {nlohmann::json(5), nlohmann::json(true), nlohmann::json::object(), nlohmann::json{{"content", nullptr}}}) {
    expect({{"tokenizer_config.json", {{"bos_token", none}}}}, "bos_token: expected a text, or an object with one");
    expect({{"special_tokens_map.json", {{"eos_token", none}}}}, "eos_token: expected a text, or an object with one");
    expect({{"tokenizer_config.json", {{"added_tokens_decoder", {{"3", none}}}}}}, "added_tokens_decoder.3: expected");
  }
  expect({{"tokenizer_config.json", {{"added_tokens_decoder", {{"3", "a"}}}}}},
         "added_tokens_decoder.3: expected an object, found string");
  for (const nlohmann::json& none : {nlohmann::json(5), nlohmann::json("a"), nlohmann::json{1, 2}}) {
    expect({{"tokenizer_config.json", {{"added_tokens_decoder", none}}}},
           "added_tokens_decoder: expected an object of ids");
  }
  EXPECT_NO_THROW(load_tokenizer(
      TokenFolder({{"tokenizer_config.json", {{"bos_token", nullptr}, {"add_bos_token", true}}}}).folder.path()));
  expect({{"added_tokens.json", {{"a", "b"}}}}, "added_tokens.json: a: expected an id");
  expect({{"added_tokens.json", {1}}}, "added_tokens.json: expected an object");
  expect({{"generation_config.json", {{"eos_token_id", -3}}}}, "eos_token_id: expected ids of tokens, found -3");
}

TEST(GgufPreTokenizerTest, NamesCutAsLlamaCppCuts) {
  const std::filesystem::path folder = readings_folder() / "cuts";
  const nlohmann::json expected = read_json(folder / "ids.json");
  std::set<std::vector<int32_t>> ways;
  for (const auto& [name, texts] : expected["names"].items()) {
    SCOPED_TRACE(name);
    const auto tokenizer = load_tokenizer(folder / "vocabulary.gguf", name);
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto text = expected["texts"][i].get<std::string>();
      EXPECT_EQ(tokenizer->encode_text(text, {.add_special = false}), texts[i].get<std::vector<int32_t>>()) << text;
    }
    ways.insert(texts[0].get<std::vector<int32_t>>());
  }
  EXPECT_GE(expected["names"].size(), 14U);
  EXPECT_GE(ways.size(), 6U);  // control: the ids tell the names apart
  EXPECT_TRUE(find_preparation("tekken", "test").add_bos);
  EXPECT_TRUE(find_preparation("llama-bpe", "test").add_bos);
  EXPECT_FALSE(find_preparation("qwen2", "test").add_bos);
}

TEST(GgufPreTokenizerTest, AnUnknownNameIsRefusedWithTheWayToGiveOne) {
  GgufVocabulary vocabulary = {.model = "gpt2", .pre = "nosuch", .tokens = {"a"}};
  EXPECT_ERROR(make_tokenizer(vocabulary, "x.gguf"), "x.gguf: tokenizer.ggml.pre: found \"nosuch\"; --pre-tokenizer");
  EXPECT_ERROR(load_tokenizer(TokenFolder({}).folder.path(), "qwen2"), "--pre-tokenizer: expected none for a folder");
}

}  // namespace
}  // namespace loraxs
