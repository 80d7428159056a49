// Hostile tokenizers and texts: refused in one sentence within 2 s and 500 MB, and time that grows with the size alone.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "support/expect_error.h"
#include "support/expect_refused.h"
#include "support/growth.h"
#include "support/repeated.h"
#include "support/temporary_folder.h"
#include "text/bpe.h"
#include "text/charsmap.h"
#include "text/detokenizer.h"
#include "text/precompiled_normalizer.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_json.h"
#include "text/unicode_form.h"

namespace loraxs {
namespace {

using nlohmann::json;

/// A tokenizer.json of two tokens with these parts.
json with(const json& parts) {
  json whole = {{"model",
                 {{"type", "BPE"},
                  {"vocab", {{"a", 0}, {"b", 1}, {"<unk>", 2}}},
                  {"merges", json::array()},
                  {"unk_token", "<unk>"}}}};
  if (!parts.is_null()) whole.update(parts);
  return whole;
}

std::unique_ptr<Tokenizer> make(const json& parts) {
  return std::make_unique<Tokenizer>(parse_tokenizer_json(with(parts), "tokenizer.json"));
}

/// From a file, through the bounded reader.
std::unique_ptr<Tokenizer> load(const std::string& name, const std::string& text) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / name, std::ios::binary) << text;
  return load_tokenizer(folder.path());
}

json pair(const std::string& token, double score) { return json::array({token, score}); }

json list_of(size_t count, const json& item) { return json(std::vector<json>(count, item)); }

json sequence(const std::string& list, const json& steps) { return {{"type", "Sequence"}, {list, steps}}; }

json replace(const std::string& from, const std::string& to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

json split(const std::string& regex, const std::string& behavior = "Isolated") {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", behavior}};
}

TEST(TokenizerLimitsTest, SequencesAreBoundedInLengthAndDepth) {
  EXPECT_REFUSED(make({{"decoder", sequence("decoders", list_of(10'000, {{"type", "Fuse"}}))}}),
                 "decoder.decoders: expected at most 100 steps");
  for (const char* part : {"normalizer", "pre_tokenizer", "decoder", "post_processor"}) {  // whose readers copy them
    EXPECT_REFUSED(make({{part, list_of(100'000, {{"type", "Fuse"}})}}),
                   concat(part, ": expected at most 100000 values in all, found more"));
  }
  EXPECT_REFUSED(make({{"normalizer", sequence("normalizers", list_of(101, {{"type", "Lowercase"}}))}}),
                 "normalizer.normalizers: expected at most 100 steps");
  EXPECT_REFUSED(make({{"pre_tokenizer", sequence("pretokenizers", list_of(40, {{"type", "ByteLevel"}}))}}),
                 "pre_tokenizer.pretokenizers: expected at most 100 steps");
  // Eleven lists of ten are no way around it.
  const json ten = sequence("normalizers", list_of(10, {{"type", "Lowercase"}}));
  EXPECT_NO_THROW(make({{"normalizer", sequence("normalizers", list_of(10, ten))}}));
  EXPECT_REFUSED(make({{"normalizer", sequence("normalizers", list_of(11, ten))}}), "expected at most 100 steps");
  for (const auto& [part, list] : std::map<std::string, std::string>{{"normalizer", "normalizers"},
                                                                     {"pre_tokenizer", "pretokenizers"},
                                                                     {"decoder", "decoders"},
                                                                     {"post_processor", "processors"}}) {
    SCOPED_TRACE(part);
    json nested = part == "post_processor" ? json{{"type", "ByteLevel"}} : sequence(list, json::array());
    for (int depth = 0; depth < 8; ++depth) nested = sequence(list, json::array({nested}));
    if (part == "post_processor") {
      EXPECT_NO_THROW(make({{part, nested}}));
    }
    EXPECT_REFUSED(make({{part, sequence(list, json::array({nested}))}}),
                   "expected at most 8 Sequences inside each other");
    std::string deep = with({}).dump();
    deep.back() = ',';
    deep += '"' + part + "\":" + test::repeated("{\"type\":\"Sequence\",\"" + list + "\":[", 30'000) +
            test::repeated("]}", 30'000) + "}";
    EXPECT_REFUSED(load("tokenizer.json", deep), "expected JSON nested at most 100 deep");
  }
}

TEST(TokenizerLimitsTest, IdsAreWholeNumbersThatATokenizerCanHave) {
  for (const json& id : {json(-5), json(1e300), json(0.5), json("1"), json(1LL << 40), json(nullptr)}) {
    SCOPED_TRACE(id.dump());
    const json list = {{{"SpecialToken", {{"id", "x"}, {"type_id", 0}}}}};
    EXPECT_REFUSED(make({{"post_processor",
                          {{"type", "TemplateProcessing"},
                           {"single", list},
                           {"pair", json::array()},
                           {"special_tokens", {{"x", {{"ids", json::array({id})}}}}}}}}),
                   "special_tokens.x.ids: expected ids from 0 on, found");
    const json types = {{{"Sequence", {{"id", "A"}, {"type_id", id}}}}};
    EXPECT_REFUSED(
        make({{"post_processor", {{"type", "TemplateProcessing"}, {"single", types}, {"special_tokens", {}}}}}),
        "post_processor.single: expected ids from 0 on, found");
    EXPECT_REFUSED(make({{"added_tokens", {{{"content", "x"}, {"id", id}}}}}), "added_tokens[0].id: expected");
    EXPECT_REFUSED(load("tokenizer.json",
                        with({{"model", {{"type", "BPE"}, {"vocab", {{"a", id}}}, {"merges", json::array()}}}}).dump()),
                   "a: expected an id from 0 to");
  }
  EXPECT_REFUSED(make({{"added_tokens", {{{"content", "x"}, {"id", 2'000'000'000}}}}}),
                 "added_tokens[0].id: expected at most");
  EXPECT_REFUSED(make({{"added_tokens", {{{"content", "x"}}}}}),
                 "added_tokens[0].id: expected at most 1004, found none");
  // 10,000 mentions of a token of 10,000 ids.
  EXPECT_REFUSED(make({{"post_processor",
                        {{"type", "TemplateProcessing"},
                         {"single", list_of(10'000, {{"SpecialToken", {{"id", "x"}, {"type_id", 0}}}})},
                         {"special_tokens", {{"x", {{"ids", std::vector<int>(10'000, 1)}}}}}}}}),
                 "post_processor.single: expected at most 1000 ids");
  for (const json& item :
       {json(1), json::object(), json({{"SpecialToken", 1}}), json({{"SpecialToken", {{"id", "a"}}}}),
        json({{"Sequence", {{"id", 1}, {"type_id", 0}}}})}) {
    EXPECT_REFUSED(make({{"post_processor", {{"type", "TemplateProcessing"}, {"single", json::array({item})}}}}),
                   "post_processor.single: expected SpecialToken and Sequence entries");
  }
}

TEST(TokenizerLimitsTest, IdsBeyondTheModelsEmbeddingsAreNamed) {
  const auto of = [](const json& parts) { return make(parts); };
  EXPECT_NO_THROW(of({})->require_ids_below(3, 0));
  EXPECT_ERROR(of({})->require_ids_below(2, 0),
               "tokenizer.json: expected ids below the model's vocab_size 2, found 2 for the token <unk>");
  EXPECT_ERROR(of({{"added_tokens", {{{"content", "<far>"}, {"id", 900}}}}})->require_ids_below(900, 0),
               "found 900 for the added token <far>");
  const auto processed = [&](int type) {
    return of({{"post_processor",
                {{"type", "TemplateProcessing"},
                 {"single", {{{"SpecialToken", {{"id", "x"}, {"type_id", type}}}}}},
                 {"special_tokens", {{"x", {{"ids", {2'000'000'000}}}}}}}}});
  };
  EXPECT_ERROR(processed(0)->require_ids_below(3, 0), "found 2000000000 in the post_processor");
  EXPECT_NO_THROW(processed(1)->require_ids_below(2'000'000'001, 2));
  EXPECT_NO_THROW(processed(2)->require_ids_below(2'000'000'001, 0));  // the model looks up no types
  EXPECT_ERROR(processed(2)->require_ids_below(2'000'000'001, 2),
               "expected token types below the model's type_vocab_size 2, found 2");
  // A vocabulary with a gap: its size says less than its highest id.
  EXPECT_ERROR(of({{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 500}}}, {"merges", json::array()}}}})
                   ->require_ids_below(2, 0),
               "found 500 for the token b");
}

TEST(TokenizerLimitsTest, TokensAreBoundedWhereverTheyComeFrom) {
  const std::string longest(1024, 'a'), longer(1025, 'a'), megabyte(1'000'000, 'a');
  for (const std::string& token : {longer, megabyte}) {
    EXPECT_REFUSED(load("vocab.txt", "[UNK]\n" + token + "\n"), "vocab.txt: token 1: expected at most 1024 bytes");
    EXPECT_REFUSED(make({{"model", {{"type", "BPE"}, {"vocab", {{token, 0}}}, {"merges", json::array()}}}}),
                   "model.vocab: token 0: expected at most 1024 bytes");
    EXPECT_REFUSED(make({{"model", {{"type", "Unigram"}, {"vocab", json::array({pair("a", 0), pair(token, 0)})}}}}),
                   "model.vocab: token 1: expected at most 1024 bytes");
    EXPECT_REFUSED(make({{"added_tokens", {{{"content", token}, {"id", 1}}}}}),
                   "added_tokens[0].content: expected at most");
    const GgufVocabulary gguf = {.model = "llama", .tokens = {"<unk>", token}, .scores = {0, 0}};
    EXPECT_REFUSED(make_tokenizer(gguf, "x.gguf"),
                   "x.gguf: tokenizer.ggml.tokens: token 1: expected at most 1024 bytes");
    EXPECT_REFUSED(
        make({{"model", {{"type", "WordPiece"}, {"vocab", {{"[UNK]", 0}}}, {"continuing_subword_prefix", token}}}}),
        "continuing_subword_prefix: expected at most 1024 bytes");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      EXPECT_REFUSED(
          make({{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}}}, {"merges", json::array()}, {key, token}}}}),
          "expected at most 1024 bytes");
    }
  }
  const auto tokenizer = load("vocab.txt", "[UNK]\n[CLS]\n[SEP]\n" + longest + "\n");
  EXPECT_EQ(tokenizer->token_id(longest), 3);
  EXPECT_REFUSED(load("vocab.txt", "[UNK]\n\xFF\n"), "vocab.txt: token 1: expected UTF-8, found \"\\xff\"");
  EXPECT_REFUSED(make({{"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", megabyte}}}}),
                 "expected one character");
  EXPECT_REFUSED(make({{"decoder", {{"type", "Metaspace"}, {"replacement", megabyte}}}}), "expected one character");
}

TEST(TokenizerLimitsTest, StepsThatMultiplyTextAreStopped) {
  const std::string megabyte(1 << 20, 'x'), text = test::repeated("a b ", 1000);
  const auto normalized = [&](const json& steps) {
    make({{"normalizer", sequence("normalizers", steps)}})->encode_text(text, {});
  };
  const std::string message = "bytes to come of a text of 4000";
  EXPECT_REFUSED(normalized(list_of(40, replace("a", "aa"))), message);
  EXPECT_REFUSED(normalized(list_of(1, replace("a", megabyte))), message);
  EXPECT_REFUSED(normalized(list_of(2, {{"type", "Prepend"}, {"prepend", megabyte}})), message);
  EXPECT_REFUSED(normalized(list_of(40, {{"type", "Replace"}, {"pattern", {{"Regex", "."}}}, {"content", "aa"}})),
                 message);
  // A prefix before each of the parts that added tokens leave.
  const json added = {{{"content", "b"}, {"id", 1}}},
             prefix = {{"type", "Prepend"}, {"prepend", std::string(5000, 'x')}};
  EXPECT_REFUSED(make({{"added_tokens", added}, {"normalizer", prefix}})->encode_text(text, {}), message);
  const json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  EXPECT_REFUSED(make({{"pre_tokenizer", sequence("pretokenizers", list_of(60, bytes))}})->encode_text("é" + text, {}),
                 "bytes to come of a text of");
  EXPECT_REFUSED(make({{"decoder", sequence("decoders", list_of(40, replace("a", "aa")))}}),
                 "decoder: expected steps that make at most 64 bytes of one");
  EXPECT_REFUSED(make({{"decoder", replace("a", megabyte)}}),
                 "decoder: expected steps that make at most 64 bytes of one");
  EXPECT_NO_THROW(make({{"decoder", sequence("decoders", list_of(6, replace("a", "aa")))}})->decode({{0, 1}}, true));
  // The most that Unicode makes of a character passes.
  EXPECT_NO_THROW(make({{"normalizer", {{"type", "NFKD"}}}})->encode_text(test::repeated("\uFDFA", 100'000), {}));
}

TEST(TokenizerLimitsTest, ExpressionsEndWhateverTheyAre) {
  const auto run = [](const std::string& regex, const std::string& text) {
    make({{"pre_tokenizer", split(regex)}})->encode_text(text, {});
  };
  const std::string many(100'000, 'a');
  EXPECT_REFUSED(run(R"((?<=\g<1>)|(?!)(\Ka))", "aaaa"), "\\K must not stand in look-around");
  EXPECT_REFUSED(run("(a+)+b|c", many + "c"), "this text is too much for the expression");
  EXPECT_REFUSED(run("(?=a*a*a*a*a*[bc])a", many), "");
  EXPECT_REFUSED(run("(?=(a|aa)*c)a", many), "");
  EXPECT_BOUNDED(run(R"(\g<0>?a\g<0>?b)", many));
  EXPECT_REFUSED(run("(?=.*b)a", test::repeated("a", 1'000'000) + "b"),
                 "expected its regular expressions to take at most");
  EXPECT_REFUSED(run(R"(a\X)", "a"), "found \\X in \"a\\X\"; only alone");
  EXPECT_REFUSED(run(std::string(40'000, 'a'), "a"), "expected a regular expression");
  EXPECT_REFUSED(run(test::repeated("(", 100'000) + test::repeated(")", 100'000), "a"),
                 "expected a regular expression");
  EXPECT_BOUNDED(run(R"(a*)", many));  // empty matches
  EXPECT_BOUNDED(run(R"((?=a)|\b)", many));
  EXPECT_BOUNDED(run(R"(\X)", test::repeated("\U0001F1E9\U0001F1EA", 40'000)));
  // An expression per word has no time per word.
  const json words = json::array({{{"type", "WhitespaceSplit"}}, split("(?=(a|a)*[cd])a")});
  EXPECT_REFUSED(make({{"pre_tokenizer", sequence("pretokenizers", words)}})
                     ->encode_text(test::repeated(std::string(18, 'a') + " ", 20'000), {}),
                 "");
}

/// What stands before the file name in tests/fuzz/corpus holds the samples that once broke the program.
TEST(TokenizerLimitsTest, SentencePieceModelsAreCheckedBeforeTheLibraryReadsThem) {
  const std::filesystem::path corpus = std::filesystem::path(LORAXS_SOURCE_DIR) / "tests/fuzz/corpus/vocabulary";
  const auto encode = [&](const char* name) {
    const test::TemporaryFolder folder;
    std::filesystem::copy(corpus / name, folder / "tokenizer.model");
    load_tokenizer(folder.path())->encode_text("ﬁne ａｂ hello world", {});
  };
  EXPECT_REFUSED(encode("spm-darts.model"), "tokenizer.model: piece 0: expected UTF-8 without zero bytes");
  EXPECT_REFUSED(encode("spm-offset.model"), "precompiled_charsmap: expected a trie");
  EXPECT_REFUSED(encode("spm-value.model"), "precompiled_charsmap: expected");
}

/// A double array of one aligned block behind the root's.
Charsmap charsmap(const std::function<void(Charsmap&)>& change) {
  Charsmap map = {.units = std::vector<uint32_t>(1024, 1U << 31), .replacements = std::string("b\0", 2)};
  const auto leads_to = [](uint32_t label, uint32_t from, uint32_t node) { return label | (from ^ node) << 10; };
  map.units[0] = leads_to(0, 0, 256);
  map.units[256 ^ 'a'] = leads_to('a', 256 ^ 'a', 512) | 1U << 8;  // "a" is a key
  map.units[512] = 1U << 31;                                       // with the replacement at 0
  map.units[512 ^ 'b'] = leads_to('b', 512 ^ 'b', 768);
  change(map);
  return map;
}

TEST(TokenizerLimitsTest, CharsmapsLeadNowhereElse) {
  const auto check = [](const std::function<void(Charsmap&)>& change) { check_charsmap(charsmap(change), "x"); };
  EXPECT_NO_THROW(check([](Charsmap&) {}));
  EXPECT_ERROR(check([](Charsmap& m) { m.units[0] = 1024U << 10; }),
               "x: precompiled_charsmap: expected a trie of 1024 units");
  EXPECT_ERROR(check([](Charsmap& m) { m.units.resize(1000); }), "expected a trie of 1000 units");  // half a block
  EXPECT_ERROR(check([](Charsmap& m) { m.units[512 ^ 'b'] |= 1U << 30; }), "expected a trie of 1024 units");
  EXPECT_ERROR(check([](Charsmap& m) { m.units[512] = 1U << 31 | 2; }),
               "expected replacements below 2, found one at 2");
  EXPECT_ERROR(check([](Charsmap& m) { m.replacements = std::string(17, 'b'); }),
               "expected a replacement of at most 16 bytes");
  EXPECT_ERROR(check([](Charsmap& m) { m.units[512 ^ 'b'] = 'b' | ((512U ^ 'b') ^ 512U) << 10; }), "found a circle");
  EXPECT_ERROR(parse_charsmap(std::string("\4\0\0\0aaa", 7), "x"), "7 bytes that claim a trie of 4");
}

TEST(TokenizerLimitsTest, EncodingIsLinear) {
  const std::string flag = "\U0001F1E9\U0001F1EA";
  json unigram = {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", json::array({pair("<unk>", 0), pair("a", -1)})}};
  for (size_t bytes : {2U, 16U, 400U, 1000U}) unigram["vocab"].push_back(pair(std::string(bytes, 'a') + 'b', -2));
  json wordpiece = {{"type", "WordPiece"},
                    {"max_input_chars_per_word", 1'000'000'000},
                    {"vocab", {{"[UNK]", 0}, {"a", 1}, {"##a", 2}}}};
  for (size_t bytes : {2U, 16U, 400U, 1000U}) wordpiece["vocab"]["##" + std::string(bytes, 'a') + 'b'] = 3 + bytes;
  json bpe = {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}}}, {"merges", json::array()}};
  for (std::string token = "a"; token.size() < 1024; token += token) {
    bpe["vocab"][token + token] = token.size() + 1;
    bpe["merges"].push_back(token + " " + token);
  }
  json added = json::array();
  for (int i = 0; i < 2000; ++i)
    added.push_back({{"content", "a" + std::string(i % 500, 'a') + std::to_string(i)}, {"id", i % 1000}});
  const json spaces = {{{"content", " "}, {"id", 1}, {"lstrip", true}, {"rstrip", true}}};
  const json precompiled = {{"type", "Precompiled"}, {"precompiled_charsmap", "AAQAAP" + std::string(1366, '/')}};
  // Marks that every other step of ICU's canonical order would move over all before them.
  const auto marks = [](size_t size) { return "a" + test::repeated("\u0301", size) + test::repeated("\u0316", size); };
  const auto tibetan = [](size_t size) { return test::repeated("\u0F72", size) + test::repeated("\u0F73", size); };
  struct Case {
    const char* name;
    json parts;
    std::function<std::string(size_t)> text;
    size_t size;
  };
  const auto run_of = [](const std::string& unit) {
    return [unit](size_t size) { return test::repeated(unit, size); };
  };
  const std::vector<Case> cases = {
      {"BPE", {{"model", bpe}}, run_of("a"), 20'000},
      {"BPE without an end", {{"model", bpe}}, run_of("aab"), 20'000},
      {"Unigram", {{"model", unigram}}, run_of("a"), 20'000},
      {"WordPiece", {{"model", wordpiece}}, run_of("a"), 20'000},
      {"many added tokens", {{"added_tokens", added}}, run_of("a"), 50'000},
      {"added blanks", {{"added_tokens", spaces}}, run_of(" "), 50'000},
      {"precompiled flags", {{"normalizer", precompiled}}, run_of(flag), 20'000},
      {"split flags", {{"pre_tokenizer", split(R"(\X)")}}, run_of(flag), 20'000},
      {"NFD marks", {{"normalizer", {{"type", "NFD"}}}}, marks, 50'000},
      {"NFC marks", {{"normalizer", {{"type", "NFC"}}}}, marks, 50'000},
      {"NFKC Tibetan", {{"normalizer", {{"type", "NFKC"}}}}, tibetan, 50'000},
      {"BERT marks", {{"normalizer", {{"type", "BertNormalizer"}}}}, marks, 50'000},
      {"StripAccents", {{"normalizer", {{"type", "StripAccents"}}}}, marks, 50'000},
      {"Strip", {{"normalizer", {{"type", "Strip"}}}}, run_of(" "), 100'000},
      {"Lowercase", {{"normalizer", {{"type", "Lowercase"}}}}, run_of("İ"), 50'000},
      {"Replace", {{"normalizer", replace(std::string(1000, 'a') + "b", "c")}}, run_of("a"), 200'000},
      {"Metaspace", {{"pre_tokenizer", {{"type", "Metaspace"}}}}, run_of(" a"), 50'000},
      {"ByteLevel", {{"pre_tokenizer", {{"type", "ByteLevel"}}}}, run_of(" \n"), 50'000},
      {"ByteLevel blanks", {{"pre_tokenizer", {{"type", "ByteLevel"}}}}, run_of(" "), 100'000},
      {"BertPreTokenizer", {{"pre_tokenizer", {{"type", "BertPreTokenizer"}}}}, run_of("!a "), 50'000},
      {"Digits", {{"pre_tokenizer", {{"type", "Digits"}}}}, run_of("1a"), 50'000},
      {"Whitespace", {{"pre_tokenizer", {{"type", "Whitespace"}}}}, run_of("a, "), 50'000},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.name);
    const auto tokenizer = make(each.parts);
    test::expect_linear(each.size, [&](size_t size) {
      return [&tokenizer, text = each.text(size)] { tokenizer->encode_text(text, {}); };
    });
  }
}

TEST(TokenizerLimitsTest, DecodingIsLinear) {
  const json fuse = {{"type", "Fuse"}},
             strip = {{"type", "Strip"}, {"content", "a"}, {"start", 1'000'000'000}, {"stop", 1'000'000'000}},
             last = {{"type", "Strip"}, {"content", "a"}, {"start", 0}, {"stop", 1'000'000'000}};
  const std::map<std::string, json> decoders = {
      {"Strip behind Fuse", sequence("decoders", {fuse, last})},
      {"Strip", sequence("decoders", {strip, last})},
      {"ByteFallback", {{"type", "ByteFallback"}}},
      {"ByteLevel", {{"type", "ByteLevel"}}},
      {"ByteLevel behind Fuse", sequence("decoders", {fuse, {{"type", "ByteLevel"}}})},
      {"WordPiece behind Fuse", sequence("decoders", {fuse, {{"type", "WordPiece"}}})},
      {"Replace behind Fuse", sequence("decoders", {fuse, replace(std::string(1000, 'a') + "b", "c")})},
      {"Metaspace", {{"type", "Metaspace"}}},
      {"100 steps", sequence("decoders", list_of(100, fuse))},
      {"none", nullptr},
  };
  json model = {{"type", "BPE"}, {"vocab", {{"a", 0}, {"<0xE2>", 1}}}, {"merges", json::array()}};
  for (const auto& [name, decoder] : decoders) {
    SCOPED_TRACE(name);
    const auto tokenizer = make({{"model", model}, {"decoder", decoder}});
    for (const int32_t id : {0, 1}) {
      test::expect_linear(name == "100 steps" ? 2000 : 50'000, [&](size_t size) {
        return [&tokenizer, ids = std::vector<int32_t>(size, id)] { tokenizer->decode(ids, false); };
      });
    }
  }
}

TEST(TokenizerLimitsTest, StripTakesTheLastCharactersOfAStream) {
  const json parts = {
      {"decoder",
       sequence("decoders", {{{"type", "Fuse"}}, {{"type", "Strip"}, {"content", "a"}, {"start", 1}, {"stop", 2}}})}};
  const auto tokenizer = make(parts);
  const auto decode = [&](const std::vector<int32_t>& ids) { return tokenizer->decode(ids, false); };
  EXPECT_EQ(decode({0, 1, 0, 0, 0, 1, 0, 0, 0}), "baaaba");
  EXPECT_EQ(decode({0, 0, 0, 0, 0}), "aa");
  EXPECT_EQ(decode({0, 0}), "");
  EXPECT_EQ(decode({1, 0, 1}), "bab");
}

TEST(TokenizerLimitsTest, LoadingIsLinear) {
  const auto gguf = [](size_t size) {  // every cut of a token is two tokens
    return [size] {
      GgufVocabulary vocabulary = {.model = "llama", .tokens = {"<unk>"}, .scores = {0}};
      for (size_t i = 1; i < size; ++i) {
        vocabulary.tokens.push_back('b' + std::string(400, 'a').append(std::to_string(i)));
        vocabulary.scores.push_back(0);
      }
      make_tokenizer(std::move(vocabulary), "x.gguf");
    };
  };
  test::expect_linear(500, gguf);
  test::expect_linear(60'000, [](size_t size) {
    json vocab = json::object(), merges = json::array();
    for (size_t i = 0; i < size; ++i) vocab["t" + std::to_string(i)] = i;
    return [parts = json{{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}}] { make(parts); };
  });
  // "a" to "a…a" has as many ways to be merged as bytes.
  GgufVocabulary runs = {.model = "llama"};
  for (size_t i = 1; i <= 1024; ++i) runs.tokens.push_back(std::string(i, 'a'));
  runs.scores.assign(runs.tokens.size(), 0);
  EXPECT_REFUSED(make_tokenizer(runs, "x.gguf"), "pairs of tokens that are a token");
}

TEST(TokenizerLimitsTest, LongRunsOfMarksKeepTheirCanonicalForm) {
  std::string letters = "a", expected = "a";
  for (int i = 0; i < 50; ++i) letters += "\u0301\u0316\u0327";  // classes 230, 220, 202
  for (const char* mark : {"\u0327", "\u0316", "\u0301"}) expected += test::repeated(mark, 50);
  TextLimit limit(letters.size());
  EXPECT_EQ(to_unicode_form(letters, UnicodeForm::kNfd, limit), expected);
  EXPECT_EQ(to_unicode_form(letters, UnicodeForm::kNfc, limit), "\u00E1" + expected.substr(1, expected.size() - 3));
}

}  // namespace
}  // namespace loraxs
