// text/vocabulary.h: tokens and ids of a model, both ways.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/sha256.h"

namespace loraxs {

class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;  // no copies: the map points into the list
  Vocabulary& operator=(Vocabulary&&) = default;
  /// `tokens[id]`; an empty text is an id without a token. Of two equal tokens the later one is found.
  explicit Vocabulary(std::vector<std::string> tokens);
  /// {"token": id, …}. Throws Error, starting with `where`, for another shape, or an id below 0 or far beyond the
  /// others.
  static Vocabulary from_json(const nlohmann::json& object, const std::string& where);

  std::optional<int32_t> id_of(std::string_view token) const;
  const std::string* token_of(int32_t id) const;
  /// The id of a token that has to be there. Throws Error, starting with `where`.
  int32_t require(const std::string& token, const std::string& where) const;
  int64_t size() const { return static_cast<int64_t>(ids_.size()); }
  size_t longest_token() const { return longest_; }  // bytes
  void add_to(Sha256& digest) const;

 private:
  std::vector<std::string> tokens_;
  std::unordered_map<std::string_view, int32_t> ids_;  // views of tokens_
  size_t longest_ = 0;
};

}  // namespace loraxs
