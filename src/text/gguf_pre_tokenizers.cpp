#include "text/gguf_pre_tokenizers.h"

#include <map>
#include <vector>

#include "io/error.h"

namespace loraxs {
namespace {

// Expressions of llama.cpp (llama-vocab.cpp, llm_tokenizer_bpe), in the spelling of the tokenizer.json files that they
// stand for. Each cuts what the ones before it left.
constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kContractions = R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]))";
constexpr const char* kUpper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])";
constexpr const char* kLower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
constexpr const char* kBefore = R"([^\r\n\p{L}\p{N}]?)";
constexpr const char* kSpaces = R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Contractions, words with a character before them, numbers, other characters with line ends, white space.
std::string words_and_numbers(const std::string& numbers, const std::string& contractions = concat(kContractions, "|"),
                              const std::string& others = R"( ?[^\s\p{L}\p{N}]+[\r\n]*)") {
  return concat(contractions, kBefore, R"(\p{L}+|)", numbers, "|", others, "|", kSpaces);
}

/// Words cut where lower case turns to upper case, with `ending` behind them.
std::string cased_words(const std::string& ending, const std::string& numbers) {
  return concat(kBefore, kUpper, "*", kLower, "+", ending, "|", kBefore, kUpper, "+", kLower, "*", ending, "|", numbers,
                R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|)", kSpaces);
}

nlohmann::json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", use_regex}};
}

nlohmann::json cuts(const std::vector<std::string>& expressions) {
  nlohmann::json steps = nlohmann::json::array();
  for (const std::string& each : expressions) {
    steps.push_back({{"type", "Split"}, {"pattern", {{"Regex", each}}}, {"behavior", "Isolated"}});
  }
  steps.push_back(byte_level(false));
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

std::map<std::string, Preparation> make_preparations() {
  const Preparation gpt2 = {.pre_tokenizer = byte_level(true)};
  const Preparation digits = {
      .pre_tokenizer = {{"type", "Sequence"},
                        {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)}}}};
  const Preparation three_digits = {.pre_tokenizer = cuts({words_and_numbers(R"(\p{N}{1,3})")})};
  const Preparation one_digit = {.pre_tokenizer = cuts({words_and_numbers(R"(\p{N})")})};
  Preparation llama3 = three_digits;
  llama3.ignore_merges = llama3.add_bos = true;
  Preparation qwen2 = one_digit;
  qwen2.normalizer = {{"type", "NFC"}};
  const Preparation qwen35 = {
      .normalizer = {{"type", "NFC"}},
      .pre_tokenizer = cuts(
          {concat(kContractions, "|", kBefore, R"([\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)", kSpaces)})};
  const Preparation tekken = {
      .pre_tokenizer = cuts({cased_words("", R"(\p{N})")}), .ignore_merges = true, .add_bos = true};
  const Preparation gpt4o = {.pre_tokenizer = cuts({cased_words(concat(kContractions, "?"), R"(\p{N}{1,3})")})};
  const Preparation seed_coder = {
      .pre_tokenizer = cuts({words_and_numbers(R"(\p{N})", concat(kContractions, "|"), R"( ?[^\s\p{L}\p{N}\r\n]+)")})};
  const Preparation falcon = {.pre_tokenizer = cuts({R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"})};
  const Preparation unnamed = {.pre_tokenizer =
                                   cuts({R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"})};
  const Preparation deepseek_coder = {
      .pre_tokenizer = cuts({R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-퟿]+", R"(\p{N})"})};
  const Preparation deepseek_llm = {
      .pre_tokenizer = cuts(
          {R"([\r\n])",
           R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)",
           R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)", R"(\s+$)", "[一-龥ࠀ-一가-퟿]+", R"(\p{N}+)"})};
  const Preparation deepseek3 = {
      .pre_tokenizer =
          cuts({R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+",
                concat(R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)",
                       R"( ?[\p{P}\p{S}]+[\r\n]*|)", kSpaces)})};
  const std::string bloom_words = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
  const Preparation bloom = {.pre_tokenizer = cuts({bloom_words})};
  const Preparation viking = {.pre_tokenizer = cuts({bloom_words, R"(\p{N})"})};
  return {{"", unnamed},
          {"default", unnamed},
          {"gpt-2", gpt2},
          {"phi-2", gpt2},
          {"mpt", gpt2},
          {"olmo", gpt2},
          {"jais", gpt2},
          {"trillion", gpt2},
          {"exaone4", gpt2},
          {"granite-docling", gpt2},
          {"roberta-bpe", gpt2},
          {"smollm", digits},
          {"starcoder", digits},
          {"refact", digits},
          {"command-r", digits},
          {"codeshell", digits},
          {"exaone", digits},
          {"minerva-7b", digits},
          {"mellum2", digits},
          {"llama-bpe", llama3},
          {"llama-v3", llama3},
          {"llama3", llama3},
          {"falcon3", llama3},
          {"falcon-h1", llama3},
          {"pixtral", llama3},
          {"midm-2.0", llama3},
          {"lfm2", llama3},
          {"dbrx", three_digits},
          {"smaug-bpe", three_digits},
          {"glm4", three_digits},
          {"chatglm-bpe", three_digits},
          {"qwen2", qwen2},
          {"deepseek-r1-qwen", qwen2},
          {"megrez", qwen2},
          {"kormo", qwen2},
          {"stablelm2", one_digit},
          {"hunyuan", one_digit},
          {"grok-2", one_digit},
          {"solar-open", one_digit},
          {"qwen35", qwen35},
          {"tekken", tekken},
          {"gpt-4o", gpt4o},
          {"llama4", gpt4o},
          {"kanana2", gpt4o},
          {"seed-coder", seed_coder},
          {"falcon", falcon},
          {"deepseek-llm", deepseek_llm},
          {"deepseek-coder", deepseek_coder},
          {"deepseek-v3", deepseek3},
          {"hunyuan-dense", deepseek3},
          {"joyai-llm", deepseek3},
          {"poro-chat", bloom},
          {"bloom", bloom},
          {"gpt3-finnish", bloom},
          {"viking", viking}};
}

const std::map<std::string, Preparation>& preparations() {
  static const std::map<std::string, Preparation> table = make_preparations();
  return table;
}

}  // namespace

std::vector<std::string> preparation_names() {
  std::vector<std::string> names;
  for (const auto& [name, preparation] : preparations()) {
    if (!name.empty() && name != "default") names.push_back(name);
  }
  return names;
}

const Preparation& find_preparation(const std::string& name, const std::string& where) {
  if (const auto found = preparations().find(name); found != preparations().end()) return found->second;
  std::string known = "default";
  for (const std::string& each : preparation_names()) known += " " + each;
  throw Error(
      concat(where, ": found \"", name, "\"; --pre-tokenizer (pre_tokenizer in a recipe) gives one of ", known));
}

}  // namespace loraxs
