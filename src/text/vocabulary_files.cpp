#include "text/vocabulary_files.h"

#include <algorithm>

#include "io/error.h"
#include "io/mapped_file.h"
#include "text/bpe.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer_json.h"
#include "text/wordpiece.h"

namespace loraxs {
namespace {

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  constexpr size_t kMostBytes = 64 << 20;
  if (file->text().size() > kMostBytes) {
    throw Error(concat(path.string(), ": expected at most ", kMostBytes, " bytes, found ", file->text().size()));
  }
  std::vector<std::string> lines;
  for (std::string_view rest = file->text(); !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    lines.emplace_back(rest.substr(0, end));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return lines;
}

/// [CLS] A [SEP], [CLS] A [SEP] B [SEP]; or RoBERTa's with two separators between.
nlohmann::json processing(const char* kind, const std::string& cls, const std::string& sep) {
  return {{"type", kind}, {"cls", {cls, 0}}, {"sep", {sep, 0}}};
}

void add_special_tokens(TokenizerParts& parts, const std::vector<AddedToken>& tokens) {
  for (AddedToken token : tokens) {
    const auto id = parts.model->id_of(token.content);
    if (!id) continue;
    token.id = *id;
    token.special = true;
    parts.added_tokens.push_back(std::move(token));
  }
}

PostProcessor template_of(const TokenizerParts& parts, const nlohmann::json& json, const std::string& where) {
  return parse_post_processor(
      json, [&](const std::string& token) { return parts.model->id_of(token); }, where);
}

}  // namespace

TokenizerParts bert_from_vocab(const std::filesystem::path& vocab_txt, Fields settings) {
  const std::string where = vocab_txt.string();
  settings.ignore_unknown();
  nlohmann::json normalizer = {{"type", "BertNormalizer"},
                               {"clean_text", true},
                               {"handle_chinese_chars", settings.boolean("tokenize_chinese_chars", true)},
                               {"strip_accents", nullptr},
                               {"lowercase", settings.boolean("do_lower_case", true)}};
  if (settings.has("strip_accents")) normalizer["strip_accents"] = settings.boolean("strip_accents", true);
  TokenizerParts parts = parse_pipeline({{"normalizer", normalizer},
                                         {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                                         {"decoder", {{"type", "WordPiece"}}}},
                                        where);
  parts.where = where;
  parts.model =
      std::make_unique<WordPieceModel>(WordPieceConfig{.vocab = Vocabulary(lines_of(vocab_txt), where)}, where);
  add_special_tokens(parts, {{"[PAD]"}, {"[UNK]"}, {"[CLS]"}, {"[SEP]"}, {"[MASK]"}});
  parts.post_processor = template_of(parts, processing("BertProcessing", "[CLS]", "[SEP]"), where);
  return parts;
}

TokenizerParts byte_bpe_from_files(const std::filesystem::path& vocab_json, const std::filesystem::path& merges_txt,
                                   Fields settings) {
  const std::string where = vocab_json.string();
  settings.ignore_unknown();
  TokenizerParts parts = parse_pipeline(
      {{"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", settings.boolean("add_prefix_space", false)}}},
       {"decoder", {{"type", "ByteLevel"}}}},
      where);
  BpeConfig config = {.vocab = Vocabulary::from_json(read_json(vocab_json), where)};
  std::vector<std::string> lines = lines_of(merges_txt);
  for (size_t i = 0; i < lines.size(); ++i) {
    if ((i == 0 && lines[i].starts_with("#version")) || lines[i].empty()) continue;
    const size_t blank = lines[i].find(' ');
    if (blank == std::string::npos || lines[i].find(' ', blank + 1) != std::string::npos) {
      throw Error(concat(merges_txt.string(), ":", i + 1, ": expected two tokens, found \"", lines[i], "\""));
    }
    const std::string_view line = lines[i];
    config.add_merge(line.substr(0, blank), line.substr(blank + 1), merges_txt.string());
  }
  parts.where = where;
  parts.model = std::make_unique<BpeModel>(std::move(config), merges_txt.string());
  const bool roberta = parts.model->id_of("<s>") && parts.model->id_of("</s>");
  if (roberta) {
    add_special_tokens(parts, {{"<s>"}, {"<pad>"}, {"</s>"}, {"<unk>"}, {.content = "<mask>", .lstrip = true}});
    parts.post_processor = template_of(parts, processing("RobertaProcessing", "<s>", "</s>"), where);
  } else {
    add_special_tokens(parts, {{"<|endoftext|>"}});
  }
  return parts;
}

TokenizerParts xlm_roberta_from_model(const std::filesystem::path& path) {
  TokenizerParts parts;
  parts.where = path.string();
  auto model = std::make_unique<SentencePieceModel>(path, SentencePieceModel::Numbering::kFairseq);
  parts.added_tokens = model->special_tokens();
  parts.decoder = model->decoder();
  parts.model = std::move(model);
  parts.post_processor = template_of(parts, processing("RobertaProcessing", "<s>", "</s>"), path.string());
  return parts;
}

TokenizerParts llama_from_model(const std::filesystem::path& path, Fields settings) {
  settings.ignore_unknown();
  TokenizerParts parts;
  parts.where = path.string();
  auto model = std::make_unique<SentencePieceModel>(path, SentencePieceModel::Numbering::kOwn);
  parts.added_tokens = model->special_tokens();
  parts.decoder = model->decoder();
  parts.bos_id = model->bos_id();
  if (model->eos_id()) parts.eos_ids = {*model->eos_id()};
  const bool bos = settings.boolean("add_bos_token", true), eos = settings.boolean("add_eos_token", false);
  parts.post_processor = bos_eos_template(bos ? model->bos_id() : std::nullopt, eos ? model->eos_id() : std::nullopt);
  parts.model = std::move(model);
  return parts;
}

PostProcessor bos_eos_template(std::optional<int32_t> bos, std::optional<int32_t> eos) {
  using Element = PostProcessor::Element;
  PostProcessor result;
  result.single.clear();
  if (bos) result.single.push_back({Element::Kind::kSpecial, *bos});
  result.single.push_back({Element::Kind::kFirst});
  if (eos) result.single.push_back({Element::Kind::kSpecial, *eos});
  result.pair = result.single;
  for (Element element : result.single) {
    if (element.kind == Element::Kind::kFirst) element.kind = Element::Kind::kSecond;
    element.type_id = 1;
    result.pair.push_back(element);
  }
  return result;
}

}  // namespace loraxs
