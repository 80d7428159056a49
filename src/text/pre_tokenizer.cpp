#include "text/pre_tokenizer.h"

#include <map>

#include "io/fields.h"
#include "text/byte_level.h"
#include "text/char_class.h"
#include "text/json_part.h"
#include "text/regex.h"

namespace loraxs {
namespace {

PreTokenizer split_at(const Regex& regex, SplitBehavior behavior, bool invert) {
  return [=](Pieces& pieces) {
    split_pieces(
        pieces, [&](std::string_view text, const MatchSink& match) { regex.for_each_match(text, pieces.limit, match); },
        behavior, invert);
  };
}

SplitBehavior parse_behavior(Fields& fields, const std::string& fallback) {
  static const std::map<std::string, SplitBehavior> names = {{"Removed", SplitBehavior::kRemoved},
                                                             {"Isolated", SplitBehavior::kIsolated},
                                                             {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
                                                             {"MergedWithNext", SplitBehavior::kMergedWithNext},
                                                             {"Contiguous", SplitBehavior::kContiguous}};
  std::vector<std::string> allowed;
  allowed.reserve(names.size());
  for (const auto& [name, behavior] : names) allowed.push_back(name);
  return names.at(fields.choice("behavior", fallback, allowed));
}

std::vector<PreTokenizer> bert_words(Fields&) {
  return {[](Pieces& pieces) {
    split_pieces(pieces, find_chars(is_space), SplitBehavior::kRemoved);
    split_pieces(pieces, find_chars(is_punctuation), SplitBehavior::kIsolated);
  }};
}

/// GPT-2: contractions, words, numbers and other characters with the blank before them; then every byte is a character.
std::vector<PreTokenizer> byte_level_words(Fields& fields) {
  const bool prefix = fields.boolean("add_prefix_space", true);
  std::vector<PreTokenizer> steps;
  if (prefix) {
    steps.push_back([](Pieces& pieces) {
      pieces.rewrite([](std::string_view piece, size_t, std::string& out) {
        if (!piece.starts_with(' ')) out += ' ';
        out += piece;
      });
    });
  }
  if (fields.boolean("use_regex", true)) {
    const Regex words(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", fields.where());
    steps.push_back(split_at(words, SplitBehavior::kIsolated, false));
  }
  steps.push_back([](Pieces& pieces) {
    pieces.rewrite([](std::string_view piece, size_t, std::string& out) { append_byte_chars(out, piece); });
  });
  return steps;
}

std::vector<PreTokenizer> digits(Fields& fields) {
  const auto behavior =
      fields.boolean("individual_digits", false) ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  return {[behavior](Pieces& pieces) { split_pieces(pieces, find_chars(is_numeric), behavior); }};
}

/// SentencePiece: blanks become ▁, one stands before the text, and each begins a piece. With "first" it stands before
/// what the user's text begins with; Hugging Face leaves it out where a normalizer took away the text's first
/// character.
std::vector<PreTokenizer> metaspace_words(Fields& fields) {
  const std::string mark = parse_char(fields, "replacement", "▁");
  const std::string fallback = fields.boolean("add_prefix_space", true) ? "always" : "never";  // the older spelling
  const std::string prepend = fields.choice("prepend_scheme", fallback, {"always", "first", "never"});
  std::vector<PreTokenizer> steps = {[=](Pieces& pieces) {
    const bool first_only = prepend == "first";
    pieces.rewrite([&](std::string_view piece, size_t index, std::string& out) {
      const bool marked = piece.starts_with(mark) || piece.starts_with(' ');
      if (prepend != "never" && !marked && (!first_only || (index == 0 && pieces.at_start))) out += mark;
      for (const char c : piece) c == ' ' ? out += mark : out += c;
    });
  }};
  if (fields.boolean("split", true)) {
    steps.push_back(split_at(Regex::literal(mark), SplitBehavior::kMergedWithNext, false));
  }
  return steps;
}

std::vector<PreTokenizer> punctuation(Fields& fields) {
  const SplitBehavior behavior = parse_behavior(fields, "Isolated");
  return {[behavior](Pieces& pieces) { split_pieces(pieces, find_chars(is_punctuation), behavior); }};
}

std::vector<PreTokenizer> split(Fields& fields) {
  const SplitBehavior behavior = parse_behavior(fields, "Isolated");
  return {split_at(parse_pattern(fields, "pattern"), behavior, fields.boolean("invert", false))};
}

std::vector<PreTokenizer> whitespace(Fields& fields) {
  const std::string word = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control})";
  const Regex words("[" + word + "]+|[^" + word + R"(\s]+)", fields.where());
  return {split_at(words, SplitBehavior::kRemoved, /*invert=*/true)};
}

std::vector<PreTokenizer> whitespace_split(Fields&) {
  return {[](Pieces& pieces) { split_pieces(pieces, find_chars(is_space), SplitBehavior::kRemoved); }};
}

}  // namespace

std::vector<PreTokenizer> parse_pre_tokenizer(const nlohmann::json& json, const std::string& where) {
  static const PartTable<std::vector<PreTokenizer>> kinds = {
      {"BertPreTokenizer", bert_words}, {"ByteLevel", byte_level_words},      {"Digits", digits},
      {"Metaspace", metaspace_words},   {"Punctuation", punctuation},         {"Split", split},
      {"Whitespace", whitespace},       {"WhitespaceSplit", whitespace_split}};
  return parse_parts(json, "pre_tokenizer", "pretokenizers", kinds, where);
}

}  // namespace loraxs
