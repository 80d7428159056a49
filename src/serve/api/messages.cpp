#include "serve/api/messages.h"

#include "serve/api/body.h"

namespace loraxs {
namespace {

const BodyFields& message_fields() {
  using K = FieldKind;
  static const BodyFields kFields = {
      {"role", K::kText, "who says it", 0, 0, R"(["system", "developer", "user", "assistant"])", true},
      {"content", K::kOther, "what he says", 0, 0, "{}", true},
      {"name", K::kText, "for templates that show it"},
      {"type", K::kNeutral, "messages are text", 0, 0, R"(["message", "text"])"},
      {"tool_calls", K::kNeutral, "models are not given tools", 0, 0, "[[]]"},
      {"function_call", K::kNeutral, "models are not given tools", 0, 0, "[]"},
      {"audio", K::kNeutral, "messages are text", 0, 0, "[]"},
      {"id", K::kIgnored, "of an answer that is sent back"},
      {"status", K::kIgnored, "of an answer that is sent back"},
      {"refusal", K::kIgnored, "of an answer that is sent back"},
      {"annotations", K::kIgnored, "of an answer that is sent back"},
  };
  return kFields;
}

const BodyFields& part_fields() {
  using K = FieldKind;
  static const BodyFields kFields = {
      {"type", K::kNeutral, "models read text", 0, 0, R"(["text", "input_text", "output_text"])", true},
      {"text", K::kText, "the text", 0, 0, "", true},
      {"annotations", K::kIgnored, "of an answer that is sent back"},
      {"logprobs", K::kIgnored, "of an answer that is sent back"},
  };
  return kFields;
}

std::string content_text(const nlohmann::json& content, const std::string& param) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array() || content.empty()) {
    refuse(param, concat("expected a text or a list of parts, found ", shown_value(content)));
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string place = concat(param, "[", i, "]");
    // Its type is told before its missing text: an image has none.
    if (content[i].is_object() && content[i].contains("type") && !content[i].contains("text")) {
      refuse(place + ".type", concat("expected a part of text, found ", shown_value(content[i]["type"])));
    }
    text += Body(content[i], part_fields(), place).text("text");
  }
  return text;
}

}  // namespace

nlohmann::ordered_json read_messages(const nlohmann::json& list, const std::string& param) {
  if (!list.is_array() || list.empty()) {
    refuse(param, concat("expected a list of at least one message, found ", shown_value(list)));
  }
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = concat(param, "[", i, "]");
    Body message(list[i], message_fields(), place);
    const std::string role = message.text("role");
    nlohmann::ordered_json read = {{"role", role == "developer" ? "system" : role},
                                   {"content", content_text(message.raw("content"), place + ".content")}};
    if (message.has("name")) read["name"] = message.text("name");
    messages.push_back(std::move(read));
  }
  return messages;
}

std::string messages_schema(const std::string& part) {
  return R"({"type":"array","minItems":1,"items":{"type":"object","required":["role","content"],"properties":{"role":)"
         R"({"enum":["system","developer","user","assistant"]},"content":{"anyOf":[{"type":"string"},{"type":"array",)"
         R"("minItems":1,"items":{"type":"object","required":["type","text"],"properties":{"type":{"const":")" +
         part + R"("},"text":{"type":"string"}},"additionalProperties":false}}]},"name":{"type":["string","null"]}},)" +
         R"("additionalProperties":false}})";
}

}  // namespace loraxs
