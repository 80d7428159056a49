// serve/api/messages.h: a conversation as clients write it, for the model's chat template.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace loraxs {

/// A list of messages, each {role, content}: content is a text, or a list of parts whose texts follow one another.
/// -> [{role, content}, …], and `name` where it is given. "developer" is the template's "system". `param` is where the
/// list stands. Throws ApiError 400 for what is no message of text.
nlohmann::ordered_json read_messages(const nlohmann::json& list, const std::string& param);

/// JSON schema of such a list; `part` is the type of a part: "text", "input_text".
std::string messages_schema(const std::string& part);

}  // namespace loraxs
