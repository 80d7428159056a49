// /v1/responses: text in, text out; nothing is stored.
#include <utility>

#include "serve/api/answer_run.h"
#include "serve/api/answer_settings.h"
#include "serve/api/messages.h"
#include "serve/api/route.h"

namespace loraxs {
namespace {

struct ResponseShow {
  std::string model;
  nlohmann::ordered_json instructions, metadata, max_output_tokens;  // null where they are absent
  double temperature = 1, top_p = 1;
  bool stream = false;
};

/// One answer as a response object, or as the events that build it up.
class ResponseForm : public AnswerForm {
 public:
  explicit ResponseForm(ResponseShow show) : show_(std::move(show)) {}

  void begin(Call& call) override {
    if (!show_.stream) return;
    call.begin_events();
    const nlohmann::ordered_json response = response_object(call, "in_progress", nullptr);
    send(call, "response.created", {{"response", response}});
    send(call, "response.in_progress", {{"response", response}});
    send(call, "response.output_item.added", {{"output_index", 0}, {"item", item(call, "in_progress")}});
    send(call, "response.content_part.added", at_part(call, {{"part", part("")}}));
  }

  void prompt(Call& /*call*/, int64_t /*prompt*/, const std::vector<TokenInfo>& /*tokens*/) override {}

  void piece(Call& call, int64_t /*choice*/, AnswerPiece piece) override {
    if (piece.text.empty()) return;
    text_ += piece.text;
    if (show_.stream) {
      send(call, "response.output_text.delta",
           at_part(call, {{"delta", piece.text}, {"logprobs", nlohmann::ordered_json::array()}}));
    }
  }

  void end(Call& /*call*/, int64_t /*choice*/, const AnswerEnd& end) override { reason_ = end.reason; }

  void finish(Call& call, const TokensUsed& used) override {
    const char* status = this->status();
    const nlohmann::ordered_json response = response_object(call, status, &used);
    if (!show_.stream) {
      call.reply(response);
      return;
    }
    send(call, "response.output_text.done",
         at_part(call, {{"text", text_}, {"logprobs", nlohmann::ordered_json::array()}}));
    send(call, "response.content_part.done", at_part(call, {{"part", part(text_)}}));
    send(call, "response.output_item.done", {{"output_index", 0}, {"item", item(call, status)}});
    send(call, std::string("response.") + status, {{"response", response}});
    call.end_events(/*done_mark=*/false);
  }

  void fail(Call& call, const std::exception& problem) override {
    if (show_.stream) {
      nlohmann::ordered_json response = response_object(call, "failed", nullptr);
      response["error"] = {{"code", "server_error"}, {"message", client_error(problem).what()}};
      send(call, "response.failed", {{"response", std::move(response)}});
    }
    call.fail(problem);
  }

 private:
  const char* status() const { return reason_ == FinishReason::kLength ? "incomplete" : "completed"; }
  static std::string message_id(const Call& call) { return "msg_" + call.id(); }

  static nlohmann::ordered_json part(const std::string& text) {
    return {{"type", "output_text"},
            {"text", text},
            {"annotations", nlohmann::ordered_json::array()},
            {"logprobs", nlohmann::ordered_json::array()}};
  }

  nlohmann::ordered_json item(const Call& call, const std::string& status) const {
    nlohmann::ordered_json content = nlohmann::ordered_json::array();
    if (status != "in_progress") content.push_back(part(text_));
    return {{"type", "message"},
            {"id", message_id(call)},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }

  static nlohmann::ordered_json at_part(const Call& call, const nlohmann::ordered_json& fields) {
    nlohmann::ordered_json data = {{"item_id", message_id(call)}, {"output_index", 0}, {"content_index", 0}};
    data.update(fields);
    return data;
  }

  void send(Call& call, const std::string& type, const nlohmann::ordered_json& fields) {
    nlohmann::ordered_json data = {{"type", type}, {"sequence_number", sequence_++}};
    data.update(fields);
    call.event(data, type);
  }

  nlohmann::ordered_json response_object(const Call& call, const std::string& status, const TokensUsed* used) const {
    const bool cut = status == "incomplete";
    nlohmann::ordered_json output = nlohmann::ordered_json::array();
    if (used != nullptr) output.push_back(item(call, status));
    nlohmann::ordered_json usage;
    if (used != nullptr) {
      usage = {{"input_tokens", used->prompt},
               // Nothing is bought by writing to the cache: each prompt that is computed stays there for a while.
               {"input_tokens_details", {{"cached_tokens", used->cached}, {"cache_write_tokens", 0}}},
               {"output_tokens", used->answer},
               {"output_tokens_details", {{"reasoning_tokens", 0}}},
               {"total_tokens", used->prompt + used->answer}};
    }
    nlohmann::ordered_json details;
    if (cut) details = {{"reason", "max_output_tokens"}};
    return {{"id", "resp_" + call.id()},
            {"object", "response"},
            {"created_at", call.created()},
            {"status", status},
            {"background", false},
            {"error", nullptr},
            {"incomplete_details", std::move(details)},
            {"instructions", show_.instructions},
            {"max_output_tokens", show_.max_output_tokens},
            {"model", show_.model},
            {"output", std::move(output)},
            {"parallel_tool_calls", false},
            {"previous_response_id", nullptr},
            {"store", false},
            {"temperature", show_.temperature},
            {"text", {{"format", {{"type", "text"}}}}},
            {"tool_choice", "none"},
            {"tools", nlohmann::ordered_json::array()},
            {"top_p", show_.top_p},
            {"truncation", "disabled"},
            {"usage", std::move(usage)},
            {"metadata", show_.metadata}};
  }

  ResponseShow show_;
  std::string text_;
  FinishReason reason_ = FinishReason::kStop;
  int64_t sequence_ = 0;
};

BodyFields response_fields() {
  using K = FieldKind;
  static const std::string kInput =
      R"({"anyOf":[{"type":"string","minLength":1},)" + messages_schema("input_text") + "]}";
  static const BodyFields kFields =
      joined(joined(model_fields(),
                    {{"input", K::kOther, "a text, or a conversation", 0, 0, kInput.c_str(), true},
                     {"instructions", K::kText, "a system message before it"},
                     {"max_output_tokens", K::kInteger, "of the answer, at most", 1, 1 << 24},
                     {"previous_response_id", K::kNeutral, "nothing is stored: send the conversation", 0, 0, "[]"},
                     {"conversation", K::kNeutral, "nothing is stored: send the conversation", 0, 0, "[]"},
                     {"prompt", K::kNeutral, "there are no stored prompts", 0, 0, "[]"},
                     {"background", K::kNeutral, "nothing is stored: wait for the answer", 0, 0, "[false]"},
                     {"include", K::kNeutral, "there is nothing more to tell", 0, 0, "[[]]"},
                     {"top_logprobs", K::kNeutral, "/v1/chat/completions tells them", 0, 0, "[0]"},
                     {"reasoning", K::kNeutral, "models answer as they were trained", 0, 0, "[{}]"},
                     {"max_tool_calls", K::kNeutral, "models are not given tools", 0, 0, "[0]"},
                     {"text", K::kNeutral, "answers are free text", 0, 0, R"([{}, {"format": {"type": "text"}}])"},
                     {"truncation", K::kNeutral, "what is too long is refused", 0, 0, R"(["disabled"])"}}),
             joined(answer_fields(), foreign_fields()));
  return kFields;
}

void respond(const CallPtr& call) {
  require_decoder(*call);
  Body body(parse_body(call->request().body), response_fields());
  const ServedModelPtr model = requested_model(*call, body);
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  if (body.has("instructions")) messages.push_back({{"role", "system"}, {"content", body.text("instructions")}});
  const nlohmann::json& input = body.raw("input");
  if (input.is_string()) {
    if (input.get_ref<const std::string&>().empty()) body.fail("input", "expected a text, found an empty one");
    messages.push_back({{"role", "user"}, {"content", input.get<std::string>()}});
  } else {
    for (nlohmann::ordered_json& message : read_messages(input, "input")) messages.push_back(std::move(message));
  }
  AnswerSettings settings = read_answer_settings(*call, body);
  settings.max_new_tokens = body.integer("max_output_tokens", 0);
  std::vector<AnswerRequest> requests;
  requests.push_back(
      answer_request(*call, model, settings, chat_prompt(*call, messages, "input"), "input", "max_output_tokens"));
  ResponseShow show{.model = model->id,
                    .instructions = body.raw("instructions"),
                    .metadata = body.raw("metadata"),
                    .max_output_tokens = body.raw("max_output_tokens"),
                    .temperature = settings.sampling.temperature,
                    .top_p = body.number("top_p", 1),
                    .stream = settings.stream};
  run_answers(call, "resp_" + call->id(), std::make_unique<ResponseForm>(std::move(show)), std::move(requests));
}

}  // namespace

std::vector<Route> response_routes() {
  return {{.method = "POST",
           .path = "/v1/responses",
           .right = Right::kInfer,
           .handle = respond,
           .summary = "An answer to a text or a conversation; nothing is stored.",
           .body = response_fields,
           .answer = R"({"type":"object","required":["id","object","created_at","status","model","output","usage"],)"
                     R"("properties":{"id":{"type":"string"},"object":{"const":"response"},"created_at":)"
                     R"({"type":"integer"},"status":{"enum":["completed","incomplete"]},"model":{"type":"string"},)"
                     R"("output":{"type":"array","minItems":1,"items":{"type":"object","required":)"
                     R"(["type","id","status","role","content"]}},"usage":{"type":"object","required":)"
                     R"(["input_tokens","output_tokens","total_tokens"]}}})",
           .streams = true}};
}

}  // namespace loraxs
