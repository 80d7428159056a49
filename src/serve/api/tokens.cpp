// /tokenize and /detokenize, in vLLM's form.
#include <utility>

#include "serve/api/answer_settings.h"
#include "serve/api/logprobs.h"
#include "serve/api/messages.h"
#include "serve/api/route.h"
#include "serve/api/text_inputs.h"

namespace loraxs {
namespace {

BodyFields tokenize_fields() {
  using K = FieldKind;
  static const std::string kMessages = messages_schema("text");
  static const BodyFields kFields = {
      {"model", K::kText, "all models of a server share their tokens"},
      {"prompt", K::kText, "a text; or messages"},
      {"messages", K::kOther, "a conversation, up to where the answer begins", 0, 0, kMessages.c_str()},
      {"add_special_tokens", K::kBoolean, "those that the tokenizer adds to a text; true if absent"},
      {"return_token_strs", K::kBoolean, "the text of each token"},
      {"add_generation_prompt", K::kNeutral, "the assistant answers", 0, 0, "[true]"},
  };
  return kFields;
}

void tokenize(const CallPtr& call) {
  Body body(parse_body(call->request().body), tokenize_fields());
  if (body.has("model")) call->model = call->engine().find(call->caller, body.text("model"))->id;
  if (body.has("prompt") == body.has("messages")) body.fail("prompt", "expected one of prompt and messages");
  std::vector<int32_t> ids;
  if (body.has("prompt")) {
    try {
      ids = call->engine().encode_text(body.text("prompt"), body.boolean("add_special_tokens", true));
    } catch (const Error& error) {
      throw ApiError(400, error.what(), "prompt");
    }
  } else {
    require_decoder(*call);
    ids = chat_prompt(*call, read_messages(body.raw("messages"), "messages"), "messages");
  }
  nlohmann::ordered_json texts;
  if (body.boolean("return_token_strs", false)) {
    texts = nlohmann::ordered_json::array();
    for (const int32_t id : ids) texts.push_back(token_name(call->engine().token_text(id)));
  }
  call->reply(nlohmann::ordered_json{{"count", ids.size()},
                                     {"max_model_len", call->engine().context()},
                                     {"tokens", std::move(ids)},
                                     {"token_strs", std::move(texts)}});
}

BodyFields detokenize_fields() {
  using K = FieldKind;
  return {{"model", K::kText, "all models of a server share their tokens"},
          {"tokens", K::kOther, "token ids", 0, 0,
           R"({"type":"array","minItems":1,"items":{"type":"integer","minimum":0,"maximum":2147483647}})", true}};
}

void detokenize(const CallPtr& call) {
  Body body(parse_body(call->request().body), detokenize_fields());
  if (body.has("model")) call->model = call->engine().find(call->caller, body.text("model"))->id;
  const std::vector<int32_t> ids = read_token_ids(body.raw("tokens"), "tokens");
  try {
    call->reply(nlohmann::ordered_json{{"prompt", call->engine().decode(ids)}});
  } catch (const Error& error) {
    throw ApiError(400, error.what(), "tokens");
  }
}

}  // namespace

std::vector<Route> token_routes() {
  return {
      {.method = "POST",
       .path = "/tokenize",
       .right = Right::kInfer,
       .handle = tokenize,
       .summary = "The tokens of a text or a conversation.",
       .body = tokenize_fields,
       .answer = R"({"type":"object","required":["count","max_model_len","tokens"],"properties":{"count":)"
                 R"({"type":"integer"},"max_model_len":{"type":"integer"},"tokens":{"type":"array","items":)"
                 R"({"type":"integer"}},"token_strs":{"type":["array","null"],"items":{"type":"string"}}}})"},
      {.method = "POST",
       .path = "/detokenize",
       .right = Right::kInfer,
       .handle = detokenize,
       .summary = "The text of tokens.",
       .body = detokenize_fields,
       .answer = R"({"type":"object","required":["prompt"],"properties":{"prompt":{"type":"string"}}})"},
  };
}

}  // namespace loraxs
