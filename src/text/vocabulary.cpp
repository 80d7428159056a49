#include "text/vocabulary.h"

#include "io/error.h"
#include "text/utf8.h"

namespace loraxs {

Vocabulary::Vocabulary(std::vector<std::string> tokens, const std::string& where) : tokens_(std::move(tokens)) {
  if (tokens_.size() > kMostTokens) {
    throw Error(concat(where, ": expected at most ", kMostTokens, " tokens, found ", tokens_.size()));
  }
  size_t bytes = 0;
  for (const std::string& token : tokens_) bytes += token.size();
  if (bytes > kMostBytes)
    throw Error(concat(where, ": expected tokens of at most ", kMostBytes, " bytes, found ", bytes));
  ids_.reserve(tokens_.size());
  for (size_t id = 0; id < tokens_.size(); ++id) {
    const std::string& token = tokens_[id];
    if (token.empty()) continue;
    if (token.size() > kLongestToken) {
      throw Error(concat(where, ": token ", id, ": expected at most ", kLongestToken, " bytes, found ", token.size()));
    }
    if (!is_valid_utf8(token)) throw Error(concat(where, ": token ", id, ": expected UTF-8, found \"", token, "\""));
    ids_[token] = static_cast<int32_t>(id);
  }
}

Vocabulary Vocabulary::from_json(const nlohmann::json& object, const std::string& where) {
  if (!object.is_object() || object.empty()) {
    throw Error(concat(where, ": expected an object of tokens and ids, found ",
                       object.is_object() ? "an empty one" : object.type_name()));
  }
  const auto highest = static_cast<int64_t>(2 * object.size() + 1000);  // ids may have gaps, but not any
  std::vector<std::string> tokens;
  for (const auto& [token, id] : object.items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > highest) {
      throw Error(concat(where, ": ", token, ": expected an id from 0 to ", highest, ", found ",
                         id.is_number() ? id.dump() : id.type_name()));
    }
    const auto place = id.get<size_t>();
    if (place >= tokens.size()) tokens.resize(place + 1);
    if (!tokens[place].empty()) {
      throw Error(concat(where, ": ", token, " and ", tokens[place], ": expected different ids, found ", place));
    }
    tokens[place] = token;
  }
  return Vocabulary(std::move(tokens), where);
}

std::optional<int32_t> Vocabulary::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* Vocabulary::token_of(int32_t id) const {
  const bool known = id >= 0 && static_cast<size_t>(id) < tokens_.size() && !tokens_[id].empty();
  return known ? &tokens_[id] : nullptr;
}

int32_t Vocabulary::require(const std::string& token, const std::string& where) const {
  const auto id = id_of(token);
  if (!id) throw Error(concat(where, ": expected ", token, " in the vocabulary, found none"));
  return *id;
}

void Vocabulary::add_to(Sha256& digest) const {
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (!tokens_[id].empty()) digest.update(concat(id, '\t', tokens_[id], '\n'));
  }
}

}  // namespace loraxs
