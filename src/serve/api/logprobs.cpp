#include "serve/api/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "io/printable.h"

namespace loraxs {
namespace {

/// JSON knows no infinity: the least number stands for the logarithm of 0, as OpenAI's -9999.
nlohmann::ordered_json finite_logprob(float logprob) {
  constexpr float kImpossible = -9999;
  return std::isfinite(logprob) ? logprob : kImpossible;
}

nlohmann::ordered_json chat_token(const std::string& text, float logprob) {
  nlohmann::ordered_json bytes = nlohmann::ordered_json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", token_name(text)}, {"logprob", finite_logprob(logprob)}, {"bytes", std::move(bytes)}};
}

/// Characters that begin in it: sums over tokens are right where a character is cut.
int64_t characters_of(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

}  // namespace

std::string token_name(const std::string& bytes) {
  if (first_invalid_utf8(bytes) == std::string_view::npos) return bytes;
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string name = "bytes:";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    name += "\\x";
    name += kDigits[byte >> 4U];
    name += kDigits[byte & 15U];
  }
  return name;
}

nlohmann::ordered_json chat_logprobs(const std::vector<TokenInfo>& tokens) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const TokenInfo& token : tokens) {
    nlohmann::ordered_json entry = chat_token(token.text, token.logprob.value_or(0));
    nlohmann::ordered_json top = nlohmann::ordered_json::array();
    for (const auto& [text, other] : token.top) top.push_back(chat_token(text, other.logprob));
    entry["top_logprobs"] = std::move(top);
    list.push_back(std::move(entry));
  }
  return list;
}

nlohmann::ordered_json completion_logprobs(const std::vector<TokenInfo>& tokens, int64_t& offset) {
  nlohmann::ordered_json names = nlohmann::ordered_json::array(), logprobs = names, tops = names, offsets = names;
  for (const TokenInfo& token : tokens) {
    const std::string name = token_name(token.text);
    names.push_back(name);
    offsets.push_back(offset);
    offset += characters_of(token.text);
    if (!token.logprob) {  // the first of a prompt: nothing stands before it
      logprobs.push_back(nullptr);
      tops.push_back(nullptr);
      continue;
    }
    logprobs.push_back(finite_logprob(*token.logprob));
    nlohmann::ordered_json top = nlohmann::ordered_json::object();
    for (const auto& [text, other] : token.top) top.emplace(token_name(text), finite_logprob(other.logprob));
    top.emplace(name, finite_logprob(*token.logprob));
    tops.push_back(std::move(top));
  }
  return {{"tokens", std::move(names)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

}  // namespace loraxs
