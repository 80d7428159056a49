#include "text/wordpiece.h"

#include <algorithm>
#include <map>

#include "io/error.h"
#include "io/mapped_file.h"
#include "io/sha256.h"

namespace loraxs {
namespace {

using Piece = WordPieceTokenizer::TemplatePiece;

/// Lengths to keep of two texts, as tokenizers' LongestFirst: the shorter one is spared while it fits in half.
std::pair<size_t, size_t> longest_first(size_t first, size_t second, size_t room) {
  if (first + second <= room) return {first, second};
  size_t shorter = std::min(first, second);
  size_t longer = shorter > room ? shorter : std::max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = room / 2;
    longer = shorter + room % 2;
  }
  return first > second ? std::pair(longer, shorter) : std::pair(shorter, longer);
}

std::vector<Piece> bert_template(int32_t cls, int32_t sep, bool pair) {
  std::vector<Piece> pieces = {
      {Piece::Kind::kSpecial, cls, 0}, {Piece::Kind::kFirst, 0, 0}, {Piece::Kind::kSpecial, sep, 0}};
  if (pair) {
    pieces.push_back({Piece::Kind::kSecond, 0, 1});
    pieces.push_back({Piece::Kind::kSpecial, sep, 1});
  }
  return pieces;
}

int32_t id_of(const std::unordered_map<std::string, int32_t>& vocab, const std::string& token,
              const std::string& where) {
  const auto found = vocab.find(token);
  if (found == vocab.end()) throw Error(concat(where, ": expected ", token, " in the vocabulary, found none"));
  return found->second;
}

void check_kind(Fields& fields, const std::string& kind) {
  const std::string found = fields.text("type", "");
  if (found != kind) fields.fail("type", concat("expected ", kind, ", the kind supported here, found \"", found, "\""));
}

/// TemplateProcessing's list of {"SpecialToken": {id, type_id}} and {"Sequence": {id: A|B, type_id}}.
std::vector<Piece> parse_template(const nlohmann::json& list, const std::unordered_map<std::string, int32_t>& vocab,
                                  const std::string& where) {
  std::vector<Piece> pieces;
  try {
    for (const auto& item : list) {
      if (item.contains("SpecialToken")) {
        const auto& token = item.at("SpecialToken");
        pieces.push_back({Piece::Kind::kSpecial, id_of(vocab, token.at("id").get<std::string>(), where),
                          token.at("type_id").get<int32_t>()});
      } else {
        const auto& sequence = item.at("Sequence");
        pieces.push_back({sequence.at("id") == "A" ? Piece::Kind::kFirst : Piece::Kind::kSecond, 0,
                          sequence.at("type_id").get<int32_t>()});
      }
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error(concat(where, ": post_processor: expected SpecialToken and Sequence entries (", error.what(), ")"));
  }
  return pieces;
}

}  // namespace

WordPieceTokenizer::WordPieceTokenizer(Config config, const std::string& where) : config_(std::move(config)) {
  unknown_id_ = id_of(config_.vocab, config_.unknown_token, where);
  const std::map<std::string, int32_t> sorted(config_.vocab.begin(), config_.vocab.end());
  Sha256 digest;
  digest.update("wordpiece\n");
  for (const auto& [token, id] : sorted) {
    longest_piece_ = std::max(longest_piece_, token.size());
    digest.update(concat(token, '\t', id, '\n'));
  }
  for (const auto& [token, id] : config_.special_tokens) digest.update(concat("special ", token, '\t', id, '\n'));
  const BertNormalizerConfig& n = config_.normalizer;
  digest.update(concat(n.clean_text, n.handle_chinese_chars, n.strip_accents, n.lowercase, ' ', config_.unknown_token,
                       ' ', config_.continuation, ' ', config_.max_chars_per_word, '\n'));
  for (const auto* pieces : {&config_.single, &config_.pair}) {
    for (const Piece& piece : *pieces)
      digest.update(concat(static_cast<int>(piece.kind), ' ', piece.id, ' ', piece.type_id, '\n'));
  }
  digest_ = digest.hex();
}

std::unique_ptr<WordPieceTokenizer> WordPieceTokenizer::from_json(const nlohmann::json& json,
                                                                  const std::string& where) {
  Fields root(json, where);
  Config config;

  Fields model = root.object("model");
  model.ignore_unknown();
  config.unknown_token = model.text("unk_token", "[UNK]");
  config.continuation = model.text("continuing_subword_prefix", "##");
  config.max_chars_per_word = model.positive_int("max_input_chars_per_word", 100);
  const nlohmann::json vocab = model.raw("vocab");
  if (!vocab.is_object() || vocab.empty()) model.fail("vocab", "expected an object of tokens and ids");
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_integer()) model.fail("vocab", concat(token, ": expected an integer id, found ", id.dump()));
    config.vocab[token] = id.get<int32_t>();
  }

  Fields normalizer = root.object("normalizer");
  check_kind(normalizer, "BertNormalizer");
  config.normalizer.clean_text = normalizer.boolean("clean_text", true);
  config.normalizer.handle_chinese_chars = normalizer.boolean("handle_chinese_chars", true);
  config.normalizer.lowercase = normalizer.boolean("lowercase", true);
  config.normalizer.strip_accents = normalizer.boolean("strip_accents", config.normalizer.lowercase);
  Fields pre_tokenizer = root.object("pre_tokenizer");
  check_kind(pre_tokenizer, "BertPreTokenizer");

  const nlohmann::json added = root.raw("added_tokens");
  for (const auto& token : added.is_array() ? added : nlohmann::json::array()) {
    Fields fields(token, where, "added_tokens");
    fields.ignore_unknown();
    const std::string content = fields.text("content", "");
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) {
      if (fields.boolean(flag, false))
        fields.fail(flag, concat("expected false for ", content, ", found true, which is not supported"));
    }
    const auto id = static_cast<int32_t>(fields.non_negative_int("id", 0));
    config.vocab.emplace(content, id);
    if (!content.empty()) config.special_tokens.emplace_back(content, id);
  }

  Fields post = root.object("post_processor");
  post.ignore_unknown();
  const std::string kind = post.text("type", "");
  if (kind == "TemplateProcessing") {
    config.single = parse_template(post.raw("single"), config.vocab, where);
    config.pair = parse_template(post.raw("pair"), config.vocab, where);
  } else if (kind == "BertProcessing") {
    const auto cls = id_of(config.vocab, post.raw("cls").at(0), where),
               sep = id_of(config.vocab, post.raw("sep").at(0), where);
    config.single = bert_template(cls, sep, false);
    config.pair = bert_template(cls, sep, true);
  } else {
    post.fail("type", concat("expected TemplateProcessing or BertProcessing, found \"", kind, "\""));
  }
  return std::make_unique<WordPieceTokenizer>(std::move(config), where);
}

std::unique_ptr<WordPieceTokenizer> WordPieceTokenizer::from_vocab(const std::filesystem::path& vocab,
                                                                   const nlohmann::json& settings) {
  const auto file = MappedFile::open(vocab);
  Config config;
  std::string_view rest = file->text();
  for (int32_t id = 0; !rest.empty(); ++id) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string token(rest.substr(0, end));
    if (token.ends_with('\r')) token.pop_back();
    config.vocab[token] = id;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  Fields fields(settings, (vocab.parent_path() / "tokenizer_config.json").string());
  config.normalizer.lowercase = fields.boolean("do_lower_case", true);
  config.normalizer.strip_accents = fields.boolean("strip_accents", config.normalizer.lowercase);
  config.normalizer.handle_chinese_chars = fields.boolean("tokenize_chinese_chars", true);
  for (const char* special : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    if (const auto found = config.vocab.find(special); found != config.vocab.end()) {
      config.special_tokens.emplace_back(special, found->second);
    }
  }
  const int32_t cls = id_of(config.vocab, "[CLS]", vocab.string()), sep = id_of(config.vocab, "[SEP]", vocab.string());
  config.single = bert_template(cls, sep, false);
  config.pair = bert_template(cls, sep, true);
  return std::make_unique<WordPieceTokenizer>(std::move(config), vocab.string());
}

void WordPieceTokenizer::add_word(const Word& word, std::vector<int32_t>& ids) const {
  if (word.num_chars > config_.max_chars_per_word) {
    ids.push_back(unknown_id_);
    return;
  }
  const size_t before = ids.size();
  size_t begin = 0;
  std::string candidate;
  while (begin < word.text.size()) {
    const std::string prefix = begin == 0 ? "" : config_.continuation;
    size_t end = std::min(word.text.size(), begin + longest_piece_);
    bool found = false;
    for (; end > begin; --end) {
      if (end < word.text.size() && (static_cast<unsigned char>(word.text[end]) & 0xC0) == 0x80)
        continue;  // inside a character
      candidate.assign(prefix).append(word.text, begin, end - begin);
      if (const auto entry = config_.vocab.find(candidate); entry != config_.vocab.end()) {
        ids.push_back(entry->second);
        found = true;
        break;
      }
    }
    if (!found) {
      ids.resize(before);
      ids.push_back(unknown_id_);
      return;
    }
    begin = end;
  }
}

std::vector<int32_t> WordPieceTokenizer::pieces(std::string_view text) const {
  std::vector<int32_t> ids;
  while (true) {
    // The next special token in the raw text: leftmost, then longest.
    size_t at = text.size(), length = 0;
    int32_t id = 0;
    for (const auto& [token, token_id] : config_.special_tokens) {
      const size_t found = text.find(token);
      if (found == std::string_view::npos || found > at || (found == at && token.size() <= length)) continue;
      at = found;
      length = token.size();
      id = token_id;
    }
    for (const Word& word : bert_words(text.substr(0, at), config_.normalizer)) add_word(word, ids);
    if (length == 0) return ids;
    ids.push_back(id);
    text.remove_prefix(at + length);
  }
}

Encoding WordPieceTokenizer::encode(std::string_view first, std::optional<std::string_view> second,
                                    int64_t max_length) const {
  std::vector<int32_t> first_ids = pieces(first), second_ids;
  if (second) second_ids = pieces(*second);
  const std::vector<Piece>& around = second ? config_.pair : config_.single;
  const auto added =
      std::count_if(around.begin(), around.end(), [](const Piece& p) { return p.kind == Piece::Kind::kSpecial; });
  if (max_length <= added)
    throw Error(concat("max_length: expected more than the ", added, " special tokens, found ", max_length));
  const auto [keep_first, keep_second] =
      longest_first(first_ids.size(), second_ids.size(), static_cast<size_t>(max_length - added));
  Encoding encoding;
  encoding.truncated = keep_first < first_ids.size() || keep_second < second_ids.size();
  first_ids.resize(keep_first);
  second_ids.resize(keep_second);
  for (const Piece& piece : around) {
    const auto append = [&](const std::vector<int32_t>& ids) {
      encoding.input_ids.insert(encoding.input_ids.end(), ids.begin(), ids.end());
    };
    if (piece.kind == Piece::Kind::kSpecial) encoding.input_ids.push_back(piece.id);
    if (piece.kind == Piece::Kind::kFirst) append(first_ids);
    if (piece.kind == Piece::Kind::kSecond) append(second_ids);
    encoding.token_type_ids.resize(encoding.input_ids.size(), piece.type_id);
  }
  return encoding;
}

}  // namespace loraxs
