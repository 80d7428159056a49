// /v1/models: what the caller may ask.
#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

#include "serve/api/route.h"

namespace loraxs {
namespace {

nlohmann::ordered_json model_object(const ModelInfo& info, const Answering& engine) {
  const bool base = info.parent.empty();
  nlohmann::ordered_json object = {{"id", info.id},
                                   {"object", "model"},
                                   {"created", info.created},
                                   {"owned_by", base ? "loraxs" : info.id.substr(0, info.id.find('/'))},
                                   {"root", info.root},
                                   {"parent", base ? nlohmann::ordered_json() : nlohmann::ordered_json(info.parent)},
                                   {"max_model_len", engine.context()}};
  if (base) return object;
  object["version"] = info.version;
  object["row_bytes"] = info.row_bytes;
  object["task"] = info.task;
  object["labels"] = info.labels;
  object["pinned"] = info.pinned;
  return object;
}

ModelInfo named_model(Call& call) {
  auto info = call.engine().info(call.caller, call.rest);
  if (!info) {
    throw ApiError(404, concat("model ", shown_value(call.rest), " does not exist"), "model", "model_not_found");
  }
  call.model = info->id;
  return std::move(*info);
}

int64_t page_limit(const HttpRequest& request) {
  constexpr int64_t kDefault = 100;
  constexpr int64_t kMost = 1000;
  const auto found = request.query.find("limit");
  if (found == request.query.end()) return kDefault;
  const std::string& text = found->second;
  const bool digits = !text.empty() && text.size() <= 4 && text.find_first_not_of("0123456789") == std::string::npos;
  const int64_t limit = digits ? std::stoll(text) : 0;
  if (limit < 1 || limit > kMost) refuse("limit", concat("expected 1 to ", kMost, ", found ", shown_value(text)));
  return limit;
}

/// The name behind which a page begins; empty: the first.
std::string page_start(const HttpRequest& request) {
  const auto found = request.query.find("after");
  if (found == request.query.end()) return "";
  const auto of_names = [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("._:/-").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!std::all_of(found->second.begin(), found->second.end(), of_names))
    refuse("after", concat("expected the name of a model, found ", shown_value(found->second)));
  return found->second;
}

void list_models(const CallPtr& call) {
  const HttpRequest& request = call->request();
  const int64_t limit = page_limit(request);
  std::vector<ModelInfo> models = call->engine().list(call->caller, page_start(request), limit + 1);
  const bool more = static_cast<int64_t>(models.size()) > limit;
  if (more) models.resize(static_cast<size_t>(limit));
  nlohmann::ordered_json data = nlohmann::ordered_json::array();
  for (const ModelInfo& info : models) data.push_back(model_object(info, call->engine()));
  const auto id_of = [&](const ModelInfo* info) {
    return info == nullptr ? nlohmann::ordered_json() : nlohmann::ordered_json(info->id);
  };
  call->reply({{"object", "list"},
               {"data", std::move(data)},
               {"first_id", id_of(models.empty() ? nullptr : &models.front())},
               {"last_id", id_of(models.empty() ? nullptr : &models.back())},
               {"has_more", more}});
}

void get_model(const CallPtr& call) {
  const ModelInfo info = named_model(*call);
  call->reply(model_object(info, call->engine()));
}

void delete_model(const CallPtr& call) {
  const ModelInfo info = named_model(*call);
  constexpr int kConflict = 409;
  if (info.parent.empty()) {
    throw ApiError(kConflict, "model: expected an adapter, found the base, which stays", "model", "model_in_use");
  }
  call->engine().remove(call->caller, call->rest);
  call->reply({{"id", call->rest}, {"object", "model"}, {"deleted", true}});
}

std::string model_schema() {
  return R"({"type":"object","required":["id","object","created","owned_by","root","parent","max_model_len"],"properties":{)"
         R"("id":{"type":"string"},"object":{"const":"model"},"created":{"type":"integer"},"owned_by":{"type":"string"},)"
         R"("root":{"type":"string"},"parent":{"type":["string","null"]},"max_model_len":{"type":"integer"},)"
         R"("version":{"type":"integer"},"row_bytes":{"type":"integer"},"task":{"type":"string"},)"
         R"("labels":{"type":"array","items":{"type":"string"}},"pinned":{"type":"boolean"}}})";
}

}  // namespace

std::vector<Route> model_routes() {
  return {
      {.method = "GET",
       .path = "/v1/models",
       .right = Right::kInfer,
       .handle = list_models,
       .summary = "The base and the adapters that the caller may ask, sorted by id.",
       .answer = R"({"type":"object","required":["object","data","has_more"],"properties":{"object":{"const":"list"},)"
                 R"("data":{"type":"array","items":)" +
                 model_schema() +
                 R"(},"has_more":{"type":"boolean"},)"
                 R"("first_id":{"type":["string","null"]},"last_id":{"type":["string","null"]}}})",
       .parameters = R"([{"name":"limit","in":"query","schema":{"type":"integer","minimum":1,"maximum":1000}},)"
                     R"({"name":"after","in":"query","schema":{"type":"string","pattern":"^[A-Za-z0-9._:/-]*$"}}])"},
      {.method = "GET",
       .path = "/v1/models/{model}",
       .right = Right::kInfer,
       .handle = get_model,
       .summary = "One model.",
       .answer = model_schema()},
      {.method = "DELETE",
       .path = "/v1/models/{model}",
       .right = Right::kManage,
       .handle = delete_model,
       .summary = "Takes an adapter out of the store; requests that hold it end as they began.",
       .answer = R"({"type":"object","required":["id","object","deleted"],"properties":{"id":{"type":"string"},)"
                 R"("object":{"const":"model"},"deleted":{"const":true}}})"},
  };
}

}  // namespace loraxs
