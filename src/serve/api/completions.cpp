// /v1/completions
#include <utility>

#include "serve/api/answer_settings.h"
#include "serve/api/choices_form.h"
#include "serve/api/logprobs.h"
#include "serve/api/route.h"
#include "serve/api/text_inputs.h"

namespace loraxs {
namespace {

struct CompletionShow {
  std::vector<std::string> echoes;  // text of each prompt; empty: not shown
  bool logprobs = false;
  bool answer = true;  // false: max_tokens is 0, the prompt alone
};

class CompletionForm : public ChoicesForm {
 public:
  CompletionForm(Envelope envelope, CompletionShow show) : ChoicesForm(std::move(envelope)), show_(std::move(show)) {}

  void piece(Call& call, int64_t choice, AnswerPiece piece) override {
    if (show_.answer) ChoicesForm::piece(call, choice, std::move(piece));
  }

  void finish(Call& call, const TokensUsed& used) override {
    ChoicesForm::finish(call, show_.answer ? used : TokensUsed{.prompt = used.prompt, .cached = used.cached});
  }

 private:
  const char* object() const override { return "text_completion"; }
  bool opens_late() const override { return !show_.echoes.empty() && show_.logprobs; }

  nlohmann::ordered_json opening(Choice& choice) const override {
    if (show_.echoes.empty()) return nullptr;
    return part(choice, show_.echoes[static_cast<size_t>(choice.prompt)], std::exchange(choice.tokens, {}));
  }

  nlohmann::ordered_json delta(Choice& choice, const std::string& text,
                               const std::vector<TokenInfo>& tokens) const override {
    return part(choice, text, tokens);
  }

  nlohmann::ordered_json whole(Choice& choice) const override {
    const bool echo = !show_.echoes.empty();
    nlohmann::ordered_json all =
        part(choice, (echo ? show_.echoes[static_cast<size_t>(choice.prompt)] : "") + choice.text, choice.tokens);
    if (show_.logprobs && choice.tokens.empty()) all["logprobs"] = completion_logprobs({}, choice.offset);
    return all;
  }

  nlohmann::ordered_json part(Choice& choice, const std::string& text, const std::vector<TokenInfo>& tokens) const {
    const bool shown = show_.logprobs && !tokens.empty();
    return {{"text", text},
            {"logprobs", shown ? completion_logprobs(tokens, choice.offset) : nlohmann::ordered_json()}};
  }

  CompletionShow show_;
};

BodyFields completion_fields() {
  using K = FieldKind;
  static const BodyFields kFields =
      joined(joined(model_fields(),
                    {{"prompt", K::kOther, "a text, token ids, or a list of these", 0, 0, kTextInputsSchema, true},
                     {"max_tokens", K::kInteger, "of the answer, at most; 16 if absent; 0 with echo: none", 0, 1 << 24},
                     {"n", K::kInteger, "so many answers to each prompt", 1, 8},
                     {"best_of", K::kInteger, "as many as n", 1, 8},
                     {"echo", K::kBoolean, "the prompt before the answer"},
                     {"logprobs", K::kInteger, "the log-probability of each token, and of so many others", 0, 20},
                     {"suffix", K::kNeutral, "answers are not written into a gap", 0, 0, R"([""])"},
                     {"response_format", K::kNeutral, "answers are free text", 0, 0, R"([{"type": "text"}])"},
                     {"add_special_tokens", K::kBoolean, "those that the tokenizer adds to a text; true if absent"}}),
             joined(answer_fields(), foreign_fields()));
  return kFields;
}

void complete(const CallPtr& call) {
  constexpr int64_t kDefaultTokens = 16;  // OpenAI's
  require_decoder(*call);
  Body body(parse_body(call->request().body), completion_fields());
  const ServedModelPtr model = requested_model(*call, body);
  AnswerSettings settings = read_answer_settings(*call, body);
  settings.samples = body.integer("n", 1);
  if (body.integer("best_of", settings.samples) != settings.samples) {
    body.fail("best_of", "not supported here but as n itself; every answer is shown");
  }
  settings.sampling.top_logprobs = body.integer("logprobs", -1);
  CompletionShow show;
  show.logprobs = body.has("logprobs");
  const bool echo = body.boolean("echo", false);
  const int64_t limit = body.integer("max_tokens", kDefaultTokens);
  if (limit == 0 && !echo) body.fail("max_tokens", "expected an integer above 0, or \"echo\": true beside 0, found 0");
  show.answer = limit > 0;
  settings.max_new_tokens = std::max<int64_t>(1, limit);

  std::vector<TextInput> prompts =
      read_text_inputs(call->engine(), body, "prompt", body.boolean("add_special_tokens", true));
  std::vector<AnswerRequest> requests;
  requests.reserve(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    TextInput& prompt = prompts[i];
    if (echo) show.echoes.push_back(prompt.is_text ? prompt.text : call->engine().decode(prompt.ids));
    requests.push_back(answer_request(*call, model, settings, std::move(prompt.ids),
                                      prompts.size() == 1 ? "prompt" : concat("prompt[", i, "]"), "max_tokens"));
    requests.back().prompt_logprobs = echo && show.logprobs;
  }
  const std::string id = "cmpl-" + call->id();
  auto form = std::make_unique<CompletionForm>(ChoicesForm::Envelope{.id = id,
                                                                     .model = model->id,
                                                                     .prompts = static_cast<int64_t>(requests.size()),
                                                                     .samples = settings.samples,
                                                                     .stream = settings.stream,
                                                                     .include_usage = settings.include_usage},
                                               std::move(show));
  run_answers(call, id, std::move(form), std::move(requests));
}

}  // namespace

std::vector<Route> completion_routes() {
  return {{.method = "POST",
           .path = "/v1/completions",
           .right = Right::kInfer,
           .handle = complete,
           .summary = "What follows a text.",
           .body = completion_fields,
           .answer = choices_schema(
               "text_completion",
               R"("text":{"type":"string"},"logprobs":{"anyOf":[{"type":"null"},{"type":"object","required":)"
               R"(["tokens","token_logprobs","top_logprobs","text_offset"]}]})"),
           .streams = true}};
}

}  // namespace loraxs
