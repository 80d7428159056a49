// text/vocabulary.h: tokens and ids of a model, both ways.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/sha256.h"

namespace loraxs {

class Vocabulary {
 public:
  static constexpr size_t kMostTokens = 1 << 21;  // published: up to 901,629
  static constexpr size_t kLongestToken = 1024;   // bytes: models look that far ahead of each place of a text
  static constexpr size_t kMostBytes = 32 << 20;  // of all tokens: models keep a trie of them, nine times that

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;  // no copies: the map points into the list
  Vocabulary& operator=(Vocabulary&&) = default;
  /// `tokens[id]`; an empty text is an id without a token. Of two equal tokens the later one is found. Throws Error,
  /// starting with `where`, for more than kMostTokens or kMostBytes, and for a token that is longer than kLongestToken
  /// or not UTF-8.
  Vocabulary(std::vector<std::string> tokens, const std::string& where);
  /// {"token": id, …}. Throws Error too for another shape, or an id below 0 or far beyond the others.
  static Vocabulary from_json(const nlohmann::json& object, const std::string& where);

  std::optional<int32_t> id_of(std::string_view token) const;
  const std::string* token_of(int32_t id) const;
  /// The id of a token that has to be there. Throws Error, starting with `where`.
  int32_t require(const std::string& token, const std::string& where) const;
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }  // the highest id plus one
  /// Every token with the id that it is found under.
  std::vector<std::pair<std::string_view, int32_t>> entries() const { return {ids_.begin(), ids_.end()}; }
  void add_to(Sha256& digest) const;

 private:
  std::vector<std::string> tokens_;
  std::unordered_map<std::string_view, int32_t> ids_;  // views of tokens_
};

}  // namespace loraxs
