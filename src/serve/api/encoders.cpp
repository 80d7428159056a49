// /v1/embeddings and /v1/classify
#include <bit>
#include <utility>

#include "io/base64.h"
#include "serve/api/encode_run.h"
#include "serve/api/route.h"
#include "serve/api/text_inputs.h"

namespace loraxs {
namespace {

BodyFields input_fields() {
  using K = FieldKind;
  static const BodyFields kFields = {
      {"input", K::kOther, "a text, token ids, or a list of these", 0, 0, kTextInputsSchema, true},
      {"add_special_tokens", K::kBoolean, "those that the tokenizer adds to a text; true if absent"},
      {"truncate_prompt_tokens", K::kNeutral,
       "embeddings refuse a text that is too long; labels are of its beginning, as in training", 0, 0, "[]"},
      {"user", K::kIgnored, "accepted; changes no answer"},
      {"metadata", K::kIgnored, "accepted; changes no answer"},
  };
  return kFields;
}

/// Tokens of the inputs. Labels are of as much of a text as the classifier was trained on, which the engine cuts; a
/// vector is of the whole text, or refused.
std::vector<std::vector<int32_t>> encoder_inputs(const Call& call, Body& body, bool whole) {
  std::vector<TextInput> read =
      read_text_inputs(call.engine(), body, "input", body.boolean("add_special_tokens", true));
  std::vector<std::vector<int32_t>> inputs;
  inputs.reserve(read.size());
  for (size_t i = 0; i < read.size(); ++i) {
    const std::string place = read.size() == 1 ? "input" : concat("input[", i, "]");
    const auto tokens = static_cast<int64_t>(read[i].ids.size());
    if (tokens == 0) refuse(place, "expected at least one token, found none");
    if (whole && tokens > call.engine().context()) {
      throw ApiError(
          400,
          concat("request: ", place, ": ", tokens, " tokens are more than the context of ", call.engine().context()),
          place, "context_length_exceeded");
    }
    inputs.push_back(std::move(read[i].ids));
  }
  return inputs;
}

int64_t tokens_of(const std::vector<std::vector<int32_t>>& inputs) {
  int64_t tokens = 0;
  for (const std::vector<int32_t>& input : inputs) tokens += static_cast<int64_t>(input.size());
  return tokens;
}

/// float32, little-endian: OpenAI's encoding_format "base64".
std::string float_bytes(const std::vector<float>& vector) {
  std::string bytes;
  bytes.reserve(vector.size() * sizeof(float));
  for (const float value : vector) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (uint32_t shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 0xFFU);
  }
  return bytes;
}

BodyFields embedding_fields() {
  using K = FieldKind;
  return joined(
      joined(model_fields(), input_fields()),
      {{"encoding_format", K::kText, "numbers, or float32 little-endian in base64", 0, 0, R"(["float", "base64"])"},
       {"dimensions", K::kInteger, "of the vectors: the model's own number alone", 1, 1 << 20}});
}

void embed(const CallPtr& call) {
  require_encoder(*call);
  Body body(parse_body(call->request().body), embedding_fields());
  const ServedModelPtr model = requested_model(*call, body);
  const bool base64 = body.text("encoding_format", "float") == "base64";
  const int64_t dimensions = body.integer("dimensions", 0);
  EncodeJob job{.models = {model}, .inputs = encoder_inputs(*call, body, /*whole=*/true), .embed = true};
  const int64_t tokens = tokens_of(job.inputs);
  run_encode(call, "embd-" + call->id(), job, [=](const auto& outputs) -> nlohmann::ordered_json {
    nlohmann::ordered_json data = nlohmann::ordered_json::array();
    for (const std::vector<float>& vector : outputs.at(0)) {
      // Numbers cut off a vector that was not trained for it are another, worse one: said, not done.
      if (dimensions > 0 && dimensions != static_cast<int64_t>(vector.size())) {
        refuse("dimensions",
               concat("expected ", vector.size(), ", what the vectors of this model have, found ", dimensions));
      }
      data.push_back({{"object", "embedding"},
                      {"index", data.size()},
                      {"embedding", base64 ? nlohmann::ordered_json(encode_base64(float_bytes(vector)))
                                           : nlohmann::ordered_json(vector)}});
    }
    return {{"object", "list"},
            {"data", std::move(data)},
            {"model", model->id},
            {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}};
  });
}

const char* const kModelsSchema =
    R"({"anyOf":[{"type":"string","minLength":1},)"
    R"({"type":"array","minItems":1,"maxItems":256,"items":{"type":"string","minLength":1}}]})";

BodyFields classify_fields() {
  BodyFields fields = joined(model_fields(), input_fields());
  fields[0] = {"model",
               FieldKind::kOther,
               "the name of a model, or a list of up to 256: each reads all inputs",
               0,
               0,
               kModelsSchema,
               true};
  return fields;
}

void require_head(const ServedModel& model, const std::string& param) {
  if (model.head == "none" || model.head.empty()) {
    refuse(param, concat("expected a model with classes, found ", shown_value(model.id), ", which has none"));
  }
}

std::vector<ServedModelPtr> classifiers(Call& call, Body& body) {
  constexpr size_t kMost = 256;
  std::vector<ServedModelPtr> models;
  const nlohmann::json& names = body.raw("model");
  if (!names.is_array()) {
    if (!names.is_string())
      body.fail("model", concat("expected a name or a list of names, found ", shown_value(names)));
    models.push_back(requested_model(call, body));
    require_head(*models[0], body.has("adapter") ? "adapter" : "model");
    return models;
  }
  if (names.empty() || names.size() > kMost) {
    body.fail("model", concat("expected 1 to ", kMost, " names, found ", names.size()));
  }
  if (body.has("adapter")) body.fail("adapter", "expected \"model\": \"base\" beside it, found a list");
  models.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string place = concat("model[", i, "]");
    if (!names[i].is_string()) refuse(place, concat("expected the name of a model, found ", shown_value(names[i])));
    models.push_back(call.engine().find(call.caller, names[i].get<std::string>()));
    require_head(*models.back(), place);
  }
  call.model = concat(models.size(), " models");
  return models;
}

/// vLLM's object of one text, and the model that read it.
nlohmann::ordered_json classified(const ServedModel& model, const std::vector<float>& numbers, size_t index) {
  nlohmann::ordered_json label;
  if (!model.regression && !numbers.empty()) {
    const auto best = static_cast<size_t>(std::max_element(numbers.begin(), numbers.end()) - numbers.begin());
    label = best < model.labels.size() ? model.labels[best] : concat("LABEL_", best);
  }
  return {{"index", index},         {"label", std::move(label)}, {"probs", numbers}, {"num_classes", numbers.size()},
          {"labels", model.labels}, {"model", model.id}};
}

void classify(const CallPtr& call) {
  require_encoder(*call);
  Body body(parse_body(call->request().body), classify_fields());
  const std::vector<ServedModelPtr> models = classifiers(*call, body);
  EncodeJob job{.models = models, .inputs = encoder_inputs(*call, body, /*whole=*/false), .embed = false};
  const int64_t tokens = tokens_of(job.inputs) * static_cast<int64_t>(models.size());
  const std::string id = "classify-" + call->id();
  const int64_t created = call->created();
  run_encode(call, id, job, [=](const auto& outputs) -> nlohmann::ordered_json {
    nlohmann::ordered_json data = nlohmann::ordered_json::array();
    for (size_t m = 0; m < models.size(); ++m) {
      for (const std::vector<float>& numbers : outputs.at(m))
        data.push_back(classified(*models[m], numbers, data.size()));
    }
    nlohmann::ordered_json names = models[0]->id;
    if (models.size() > 1) {
      names = nlohmann::ordered_json::array();
      for (const ServedModelPtr& model : models) names.push_back(model->id);
    }
    return {{"id", id},
            {"object", "list"},
            {"created", created},
            {"model", std::move(names)},
            {"data", std::move(data)},
            {"usage", {{"prompt_tokens", tokens}, {"completion_tokens", 0}, {"total_tokens", tokens}}}};
  });
}

}  // namespace

std::vector<Route> encoder_routes() {
  return {
      {.method = "POST",
       .path = "/v1/embeddings",
       .right = Right::kInfer,
       .handle = embed,
       .summary = "The vector of each text.",
       .body = embedding_fields,
       .answer = R"({"type":"object","required":["object","data","model","usage"],"properties":{"object":)"
                 R"({"const":"list"},"data":{"type":"array","minItems":1,"items":{"type":"object","required":)"
                 R"(["object","index","embedding"],"properties":{"object":{"const":"embedding"},"index":)"
                 R"({"type":"integer"},"embedding":{"anyOf":[{"type":"string"},{"type":"array","items":)"
                 R"({"type":"number"}}]}}}},"model":{"type":"string"},"usage":{"type":"object","required":)"
                 R"(["prompt_tokens","total_tokens"]}}})"},
      {.method = "POST",
       .path = "/v1/classify",
       .right = Right::kInfer,
       .handle = classify,
       .summary = "The classes of each text, by one model or by many: model · inputs + input is the index.",
       .body = classify_fields,
       .answer = R"({"type":"object","required":["id","object","created","model","data","usage"],"properties":{"data":)"
                 R"({"type":"array","minItems":1,"items":{"type":"object","required":["index","label","probs",)"
                 R"("num_classes"],"properties":{"index":{"type":"integer"},"label":{"type":["string","null"]},)"
                 R"("probs":{"type":"array","items":{"type":"number"}},"num_classes":{"type":"integer"}}}}}})"},
  };
}

}  // namespace loraxs
