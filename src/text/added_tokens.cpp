#include "text/added_tokens.h"

#include "text/char_class.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

size_t start_of_last_char(std::string_view text) {
  size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

bool ends_with_word(std::string_view text) {
  if (text.empty()) return false;
  size_t at = start_of_last_char(text);
  return is_word_char(next_char(text, at));
}

bool starts_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_word_char(next_char(text, at));
}

/// Where the white space at the end of `text` begins.
size_t end_without_space(std::string_view text) {
  for (size_t end = text.size(); end > 0;) {
    size_t start = start_of_last_char(text.substr(0, end)), at = start;
    if (!is_space(next_char(text, at))) return end;
    end = start;
  }
  return 0;
}

/// Where the white space at the start of `text` ends.
size_t start_without_space(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    if (!is_space(next_char(text, at))) return start;
  }
  return text.size();
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, const std::vector<Normalizer>& normalizer) {
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    const auto [place, fresh] = by_content_.emplace(token.content, tokens_.size());
    if (fresh) {
      tokens_.push_back(token);
    } else {
      tokens_[place->second] = token;
    }
  }
  std::vector<std::pair<std::string, int32_t>> raw, normalized;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    by_id_[token.id] = i;
    TextLimit limit(token.content.size());
    std::string text = token.normalized ? normalize(normalizer, token.content, limit) : token.content;
    bytes_.push_back(text.size());
    if (!text.empty()) (token.normalized ? normalized : raw).emplace_back(std::move(text), static_cast<int32_t>(i));
  }
  raw_ = TokenFinder(std::move(raw));
  normalized_ = TokenFinder(std::move(normalized));
}

std::vector<AddedTokens::Part> AddedTokens::find(std::string_view text, bool normalized, bool parse_special) const {
  const std::vector<TokenFinder::Hit> hits = (normalized ? normalized_ : raw_).find_backwards(text);
  std::vector<Part> parts;
  size_t end_of_last = 0, at = 0;
  size_t space_begin = 0, space_end = 0;  // white space behind the last token that took some
  for (auto hit = hits.rbegin(); hit != hits.rend(); ++hit) {
    if (hit->begin < at) continue;
    const AddedToken& token = tokens_[hit->value];
    size_t begin = hit->begin, end = begin + bytes_[hit->value];
    at = end;
    if (token.special && !parse_special) continue;
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    // White space that the token before this one took is gone; Hugging Face looks at it no further either.
    if (token.lstrip) {
      begin = begin > end_of_last ? end_of_last + end_without_space(text.substr(end_of_last, begin - end_of_last))
                                  : end_of_last;
    }
    if (token.rstrip) {
      if (end < space_begin || end > space_end) {
        space_begin = end;
        space_end = end + start_without_space(text.substr(end));
      }
      end = space_end;
    }
    if (begin > end_of_last) parts.push_back({end_of_last, begin, nullptr});
    parts.push_back({begin, end, &token});
    end_of_last = end;
  }
  if (end_of_last < text.size()) parts.push_back({end_of_last, text.size(), nullptr});
  return parts;
}

const AddedToken* AddedTokens::by_id(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::by_content(std::string_view content) const {
  const auto found = by_content_.find(std::string(content));
  return found == by_content_.end() ? nullptr : &tokens_[found->second];
}

}  // namespace loraxs
