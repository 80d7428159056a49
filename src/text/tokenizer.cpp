#include "text/tokenizer.h"

#include <algorithm>

#include "io/error.h"
#include "text/detokenizer.h"
#include "text/utf8.h"

namespace loraxs {

Tokenizer::Tokenizer(TokenizerParts parts) : parts_(std::move(parts)), added_(parts_.added_tokens, parts_.normalizer) {
  vocab_size_ = parts_.model->vocab_size();
  Sha256 digest;
  parts_.model->add_to(digest);
  for (const AddedToken& token : added_.all()) {
    vocab_size_ = std::max<int64_t>(vocab_size_, token.id + 1);
    digest.update(concat(token.id, '\t', token.content, '\t', token.special, token.normalized, token.lstrip,
                         token.rstrip, token.single_word, '\n'));
  }
  digest.update(parts_.description);
  parts_.post_processor.add_to(digest);
  digest_ = digest.hex();
}

void Tokenizer::require_ids_below(int64_t num_ids, int64_t num_types) const {
  const auto fail = [&](const std::string& found) {
    throw Error(concat(parts_.where, ": expected ids below the model's vocab_size ", num_ids, ", found ", found,
                       "; this tokenizer belongs to another model"));
  };
  for (const AddedToken& token : added_.all()) {
    if (token.id >= num_ids) fail(concat(token.id, " for the added token ", token.content));
  }
  for (int64_t id = num_ids; id < vocab_size_; ++id) {
    const std::string* token = token_of(static_cast<int32_t>(id));
    if (token != nullptr) fail(concat(id, " for the token ", *token));
  }
  if (parts_.post_processor.highest_id() >= num_ids) {
    fail(concat(parts_.post_processor.highest_id(), " in the post_processor"));
  }
  if (parts_.bos_id && *parts_.bos_id >= num_ids) fail(concat(*parts_.bos_id, " as bos_token_id"));
  for (const int32_t id : parts_.eos_ids) {
    if (id >= num_ids) fail(concat(id, " as eos_token_id"));
  }
  if (num_types > 0 && parts_.post_processor.highest_type_id() >= num_types) {
    throw Error(concat(parts_.where, ": post_processor: expected token types below the model's type_vocab_size ",
                       num_types, ", found ", parts_.post_processor.highest_type_id()));
  }
}

void Tokenizer::append_ids(std::string text, bool at_start, TextLimit& limit, std::vector<int32_t>& ids) const {
  if (text.empty()) return;
  Pieces pieces = {.text = std::move(text), .at_start = at_start, .limit = limit};
  pieces.ranges = {{0, pieces.text.size()}};
  for (const PreTokenizer& step : parts_.pre_tokenizer) step(pieces);
  limit.take(pieces.text.size());
  for (const Pieces::Range& range : pieces.ranges) parts_.model->append_ids(pieces.of(range), ids);
}

std::vector<int32_t> Tokenizer::ids_of(std::string_view text, bool parse_special) const {
  const std::string valid = valid_utf8(text);
  TextLimit limit(valid.size());
  std::vector<int32_t> ids;
  for (const AddedTokens::Part& part : added_.find(valid, /*normalized=*/false, parse_special)) {
    if (part.token != nullptr) {
      ids.push_back(part.token->id);
      continue;
    }
    const std::string normalized = normalize(parts_.normalizer, valid.substr(part.begin, part.end - part.begin), limit);
    for (const AddedTokens::Part& inner : added_.find(normalized, /*normalized=*/true, parse_special)) {
      if (inner.token != nullptr) {
        ids.push_back(inner.token->id);
      } else {
        append_ids(normalized.substr(inner.begin, inner.end - inner.begin), part.begin == 0 && inner.begin == 0, limit,
                   ids);
      }
    }
  }
  return ids;
}

Encoding Tokenizer::encode(std::string_view first, std::optional<std::string_view> second, int64_t max_length) const {
  std::optional<std::vector<int32_t>> second_ids;
  if (second) second_ids = ids_of(*second, /*parse_special=*/true);
  return parts_.post_processor.assemble(ids_of(first, /*parse_special=*/true), std::move(second_ids), max_length);
}

std::vector<int32_t> Tokenizer::encode_text(std::string_view text, const TextOptions& options) const {
  std::vector<int32_t> ids = ids_of(text, options.parse_special);
  if (!options.add_special) return ids;
  const std::vector<int32_t> before = parts_.post_processor.before(), after = parts_.post_processor.after();
  ids.insert(ids.begin(), before.begin(), before.end());
  ids.insert(ids.end(), after.begin(), after.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  Detokenizer detokenizer(*this, skip_special);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.push(id);
  return text + detokenizer.finish();
}

std::optional<int32_t> Tokenizer::token_id(std::string_view token) const {
  if (const AddedToken* added = added_.by_content(token)) return added->id;
  return parts_.model->id_of(token);
}

const std::string* Tokenizer::token_of(int32_t id) const {
  if (const AddedToken* added = added_.by_id(id)) return &added->content;
  return parts_.model->token_of(id);
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* added = added_.by_id(id);
  return added != nullptr && added->special;
}

}  // namespace loraxs
