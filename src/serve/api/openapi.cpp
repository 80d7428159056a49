#include <string>
#include <utility>

#include "io/json.h"
#include "serve/api/route.h"

namespace loraxs {
namespace {

nlohmann::ordered_json schema_of(const std::string& text) { return parse_ordered_json(text, "api table"); }

nlohmann::ordered_json json_content(nlohmann::ordered_json schema) {
  return {{"application/json", {{"schema", std::move(schema)}}}};
}

nlohmann::ordered_json error_answer(const char* description) {
  return {{"description", description}, {"content", json_content({{"$ref", "#/components/schemas/Error"}})}};
}

nlohmann::ordered_json success(const Route& route) {
  nlohmann::ordered_json content = nlohmann::ordered_json::object();
  if (route.answer.empty()) {
    content[route.answer_type] = {{"schema", {{"type", "string"}}}};
  } else {
    content = json_content(schema_of(route.answer));
  }
  if (route.streams) content["text/event-stream"] = {{"schema", {{"type", "string"}}}};
  return {{"description", route.summary}, {"content", std::move(content)}};
}

nlohmann::ordered_json parameters_of(const Route& route) {
  nlohmann::ordered_json parameters = schema_of(route.parameters);
  const std::string path = route.path;
  if (const size_t brace = path.find('{'); brace != std::string::npos) {
    parameters.push_back({{"name", path.substr(brace + 1, path.size() - brace - 2)},
                          {"in", "path"},
                          {"required", true},
                          {"schema", {{"type", "string"}, {"minLength", 1}}},
                          {"description", "as /v1/models lists it; slashes may stand as they are"}});
  }
  return parameters;
}

nlohmann::ordered_json answers_of(const Route& route) {
  nlohmann::ordered_json answers = {{"200", success(route)}};
  if (route.body != nullptr || *route.parameters != '[' || route.parameters[1] != ']') {
    answers["400"] = error_answer("a request that is wrong; param names the field");
  }
  if (route.right) {
    answers["401"] = error_answer("no key, or one that is unknown or revoked");
    answers["403"] = error_answer("a key without this right");
    answers["404"] = error_answer("no such model for this caller");
    answers["429"] = error_answer("a quota is reached or a queue full; Retry-After says when to come again");
  }
  if (route.body != nullptr) answers["413"] = error_answer("a body that is too large");
  answers["503"] = error_answer("the server starts or ends, or its store does not answer");
  if (route.right == Right::kManage) answers["409"] = error_answer("the model stays: the base, or the last free place");
  if (std::string(route.method) == "DELETE") answers["400"] = error_answer("what cannot be removed");
  return answers;
}

nlohmann::ordered_json operation(const Route& route) {
  nlohmann::ordered_json described = {{"summary", route.summary}, {"responses", answers_of(route)}};
  nlohmann::ordered_json parameters = parameters_of(route);
  if (!parameters.empty()) described["parameters"] = std::move(parameters);
  if (route.body != nullptr) {
    described["requestBody"] = {{"required", true}, {"content", json_content(body_schema(route.body()))}};
  }
  described["security"] = nlohmann::ordered_json::array();
  if (route.right) described["security"].push_back({{"key", nlohmann::ordered_json::array()}});
  return described;
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

const char* const kErrorSchema =
    R"({"type":"object","required":["error"],"properties":{"error":{"type":"object","required":["message","type",)"
    R"("param","code"],"properties":{"message":{"type":"string"},"type":{"type":"string"},"param":)"
    R"({"type":["string","null"]},"code":{"type":["string","null"]}}}}})";

}  // namespace

nlohmann::ordered_json openapi_document() {
  nlohmann::ordered_json paths = nlohmann::ordered_json::object();
  for (const Route& route : all_routes()) paths[route.path][lower(route.method)] = operation(route);
  return {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "loraxs"},
        {"version", "1"},
        {"description", "OpenAI's API over one base model and the adapters of a store; with extensions of vLLM's"}}},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", {{"Error", schema_of(kErrorSchema)}}},
        {"securitySchemes", {{"key", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
}

}  // namespace loraxs
