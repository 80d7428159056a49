// serve/api/text_inputs.h: a text, token ids, or a list of either, as prompts and inputs come.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "serve/answering.h"
#include "serve/api/body.h"

namespace loraxs {

struct TextInput {
  std::string text;          // where it came as text
  std::vector<int32_t> ids;  // its tokens
  bool is_text = false;
};

/// "text", ["text", …], [id, …] or [[id, …], …] under `name`. Throws ApiError 400.
std::vector<TextInput> read_text_inputs(const Answering& engine, const Body& body, const std::string& name,
                                        bool add_special);
/// Ids of tokens, at least one.
std::vector<int32_t> read_token_ids(const nlohmann::json& list, const std::string& param);

/// Its JSON schema.
extern const char* const kTextInputsSchema;

}  // namespace loraxs
