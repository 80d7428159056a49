// /v1/chat/completions
#include <utility>

#include "serve/api/answer_settings.h"
#include "serve/api/choices_form.h"
#include "serve/api/logprobs.h"
#include "serve/api/messages.h"
#include "serve/api/route.h"

namespace loraxs {
namespace {

class ChatForm : public ChoicesForm {
 public:
  ChatForm(Envelope envelope, bool logprobs) : ChoicesForm(std::move(envelope)), logprobs_(logprobs) {}

 private:
  const char* object() const override { return streams() ? "chat.completion.chunk" : "chat.completion"; }

  nlohmann::ordered_json opening(Choice& /*choice*/) const override {
    return {{"delta", {{"role", "assistant"}, {"content", ""}}}, {"logprobs", nullptr}};
  }

  nlohmann::ordered_json delta(Choice& /*choice*/, const std::string& text,
                               const std::vector<TokenInfo>& tokens) const override {
    nlohmann::ordered_json content = nlohmann::ordered_json::object();
    if (!text.empty() || !tokens.empty()) content["content"] = text;
    return {{"delta", std::move(content)}, {"logprobs", shown(tokens)}};
  }

  nlohmann::ordered_json whole(Choice& choice) const override {
    return {{"message", {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}}},
            {"logprobs", logprobs_ ? listed(choice.tokens) : nlohmann::ordered_json()}};
  }

  nlohmann::ordered_json shown(const std::vector<TokenInfo>& tokens) const {
    return logprobs_ && !tokens.empty() ? listed(tokens) : nlohmann::ordered_json();
  }

  static nlohmann::ordered_json listed(const std::vector<TokenInfo>& tokens) {
    return {{"content", chat_logprobs(tokens)}, {"refusal", nullptr}};
  }

  bool logprobs_;
};

BodyFields chat_fields() {
  using K = FieldKind;
  static const std::string kMessages = messages_schema("text");
  static const char* const kTextFormat = R"([{"type": "text"}])";
  static const BodyFields kFields = joined(
      joined(model_fields(),
             {{"messages", K::kOther, "the conversation", 0, 0, kMessages.c_str(), true},
              {"max_tokens", K::kInteger, "of the answer, at most", 1, 1 << 24},
              {"max_completion_tokens", K::kInteger, "the same", 1, 1 << 24},
              {"n", K::kInteger, "so many answers", 1, 8},
              {"logprobs", K::kBoolean, "the log-probability of each token"},
              {"top_logprobs", K::kInteger, "and of so many of the most probable ones; with logprobs", 0, 20},
              {"response_format", K::kNeutral, "answers are free text", 0, 0, kTextFormat},
              {"add_generation_prompt", K::kNeutral, "the assistant answers", 0, 0, "[true]"},
              {"continue_final_message", K::kNeutral, "the assistant begins a message of its own", 0, 0, "[false]"}}),
      joined(answer_fields(), foreign_fields()));
  return kFields;
}

int64_t chat_limit(Body& body) {
  const int64_t limit = body.integer("max_completion_tokens", body.integer("max_tokens", 0));
  if (body.has("max_tokens") && body.integer("max_tokens", 0) != limit) {
    body.fail("max_tokens", "expected one of max_tokens and max_completion_tokens, found two that differ");
  }
  return limit;
}

void chat(const CallPtr& call) {
  require_decoder(*call);
  Body body(parse_body(call->request().body), chat_fields());
  const ServedModelPtr model = requested_model(*call, body);
  const nlohmann::ordered_json messages = read_messages(body.raw("messages"), "messages");
  AnswerSettings settings = read_answer_settings(*call, body);
  settings.max_new_tokens = chat_limit(body);
  settings.samples = body.integer("n", 1);
  const bool logprobs = body.boolean("logprobs", false);
  if (body.has("top_logprobs") && !logprobs) body.fail("top_logprobs", "expected \"logprobs\": true beside it");
  if (logprobs) settings.sampling.top_logprobs = body.integer("top_logprobs", 0);

  std::vector<AnswerRequest> requests;
  requests.push_back(answer_request(*call, model, settings, chat_prompt(*call, messages, "messages"), "messages",
                                    body.has("max_tokens") ? "max_tokens" : "max_completion_tokens"));
  const std::string id = "chatcmpl-" + call->id();
  auto form = std::make_unique<ChatForm>(ChoicesForm::Envelope{.id = id,
                                                               .model = model->id,
                                                               .prompts = 1,
                                                               .samples = settings.samples,
                                                               .stream = settings.stream,
                                                               .include_usage = settings.include_usage},
                                         logprobs);
  run_answers(call, id, std::move(form), std::move(requests));
}

}  // namespace

std::vector<Route> chat_routes() {
  return {{.method = "POST",
           .path = "/v1/chat/completions",
           .right = Right::kInfer,
           .handle = chat,
           .summary = "The next message of a conversation.",
           .body = chat_fields,
           .answer = choices_schema("chat.completion",
                                    R"("message":{"type":"object","required":["role","content"],"properties":)"
                                    R"({"role":{"const":"assistant"},"content":{"type":"string"},)"
                                    R"("refusal":{"type":"null"}}},"logprobs":{"type":["object","null"]})"),
           .streams = true}};
}

}  // namespace loraxs
