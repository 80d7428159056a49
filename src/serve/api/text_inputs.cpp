#include "serve/api/text_inputs.h"

#include <limits>
#include <utility>

namespace loraxs {

const char* const kTextInputsSchema =
    R"({"anyOf":[{"type":"string","minLength":1},)"
    R"({"type":"array","minItems":1,"maxItems":2048,"items":{"type":"string","minLength":1}},)"
    R"({"type":"array","minItems":1,"items":{"type":"integer","minimum":0,"maximum":2147483647}},)"
    R"({"type":"array","minItems":1,"maxItems":2048,"items":{"type":"array","minItems":1,)"
    R"("items":{"type":"integer","minimum":0,"maximum":2147483647}}}]})";

std::vector<int32_t> read_token_ids(const nlohmann::json& list, const std::string& param) {
  if (!list.is_array() || list.empty()) {
    refuse(param, concat("expected a list of token ids, found ", shown_value(list)));
  }
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const nlohmann::json& item : list) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > std::numeric_limits<int32_t>::max()) {
      refuse(concat(param, "[", ids.size(), "]"), concat("expected the id of a token, found ", shown_value(item)));
    }
    ids.push_back(item.get<int32_t>());
  }
  return ids;
}

std::vector<TextInput> read_text_inputs(const Answering& engine, const Body& body, const std::string& name,
                                        bool add_special) {
  constexpr size_t kMost = 2048;
  const nlohmann::json& value = body.raw(name);
  const std::string param = body.path(name);
  const auto read = [&](const nlohmann::json& item, const std::string& place) {
    TextInput input;
    if (!item.is_string()) {
      input.ids = read_token_ids(item, place);
      return input;
    }
    input.is_text = true;
    input.text = item.get<std::string>();
    if (input.text.empty()) refuse(place, "expected a text, found an empty one");
    try {
      input.ids = engine.encode_text(input.text, add_special);
    } catch (const Error& error) {
      throw ApiError(400, error.what(), place);
    }
    return input;
  };
  const bool one = value.is_string() || (value.is_array() && !value.empty() && value.front().is_number());
  std::vector<TextInput> inputs;
  if (one) {
    inputs.push_back(read(value, param));
    return inputs;
  }
  if (!value.is_array() || value.empty() || value.size() > kMost) {
    refuse(param,
           concat("expected a text, token ids, or a list of 1 to ", kMost, " of these, found ", shown_value(value)));
  }
  inputs.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) inputs.push_back(read(value[i], concat(param, "[", i, "]")));
  return inputs;
}

}  // namespace loraxs
