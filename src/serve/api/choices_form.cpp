#include "serve/api/choices_form.h"

#include <iterator>
#include <utility>

namespace loraxs {

ChoicesForm::ChoicesForm(Envelope envelope) : envelope_(std::move(envelope)) {
  choices_.resize(static_cast<size_t>(envelope_.prompts * envelope_.samples));
  for (size_t i = 0; i < choices_.size(); ++i) choices_[i].prompt = static_cast<int64_t>(i) / envelope_.samples;
}

nlohmann::ordered_json ChoicesForm::enveloped(const Call& call, nlohmann::ordered_json choices) const {
  return {{"id", envelope_.id},
          {"object", object()},
          {"created", call.created()},
          {"model", envelope_.model},
          {"system_fingerprint", nullptr},
          {"choices", std::move(choices)}};
}

void ChoicesForm::send(Call& call, size_t index, const nlohmann::ordered_json& part, const char* finish_reason) const {
  nlohmann::ordered_json choice = {{"index", index}};
  choice.update(part);
  choice["finish_reason"] = finish_reason == nullptr ? nlohmann::ordered_json() : nlohmann::ordered_json(finish_reason);
  nlohmann::ordered_json chunk = enveloped(call, nlohmann::ordered_json::array({std::move(choice)}));
  if (envelope_.include_usage) chunk["usage"] = nullptr;
  call.event(chunk);
}

void ChoicesForm::open(Call& call, size_t index) {
  nlohmann::ordered_json part = opening(choices_[index]);
  if (!part.is_null()) send(call, index, part, nullptr);
}

void ChoicesForm::begin(Call& call) {
  if (!envelope_.stream) return;
  call.begin_events();
  for (size_t i = 0; i < choices_.size() && !opens_late(); ++i) open(call, i);
}

void ChoicesForm::prompt(Call& call, int64_t prompt, const std::vector<TokenInfo>& tokens) {
  const auto first = static_cast<size_t>(prompt * envelope_.samples);
  const auto behind = first + static_cast<size_t>(envelope_.samples);
  for (size_t i = first; i < behind; ++i) {
    choices_[i].tokens = tokens;
    if (envelope_.stream && opens_late()) open(call, i);
  }
}

void ChoicesForm::piece(Call& call, int64_t choice, AnswerPiece piece) {
  const auto index = static_cast<size_t>(choice);
  Choice& found = choices_.at(index);
  if (envelope_.stream) {
    if (piece.text.empty() && piece.tokens.empty()) return;
    send(call, index, delta(found, piece.text, piece.tokens), nullptr);
    return;
  }
  found.text += piece.text;
  found.tokens.insert(found.tokens.end(), std::make_move_iterator(piece.tokens.begin()),
                      std::make_move_iterator(piece.tokens.end()));
}

void ChoicesForm::end(Call& call, int64_t choice, const AnswerEnd& end) {
  const auto index = static_cast<size_t>(choice);
  choices_.at(index).reason = end.reason;
  if (envelope_.stream) send(call, index, delta(choices_[index], "", {}), finish_reason_name(end.reason));
}

void ChoicesForm::finish(Call& call, const TokensUsed& used) {
  if (envelope_.stream) {
    if (envelope_.include_usage) {
      nlohmann::ordered_json last = enveloped(call, nlohmann::ordered_json::array());
      last["usage"] = usage_object(used);
      call.event(last);
    }
    call.end_events(/*done_mark=*/true);
    return;
  }
  nlohmann::ordered_json choices = nlohmann::ordered_json::array();
  for (size_t i = 0; i < choices_.size(); ++i) {
    nlohmann::ordered_json choice = {{"index", i}};
    choice.update(whole(choices_[i]));
    choice["finish_reason"] = finish_reason_name(choices_[i].reason);
    choices.push_back(std::move(choice));
  }
  nlohmann::ordered_json reply = enveloped(call, std::move(choices));
  reply["usage"] = usage_object(used);
  call.reply(reply);
}

nlohmann::ordered_json usage_object(const TokensUsed& used) {
  return {{"prompt_tokens", used.prompt},
          {"completion_tokens", used.answer},
          {"total_tokens", used.prompt + used.answer},
          {"prompt_tokens_details", {{"cached_tokens", used.cached}}}};
}

std::string choices_schema(const std::string& object, const std::string& choice) {
  return R"({"type":"object","required":["id","object","created","model","choices","usage"],"properties":{"id":)"
         R"({"type":"string"},"object":{"const":")" +
         object +
         R"("},"created":{"type":"integer"},"model":{"type":"string"},"system_fingerprint":{"type":"null"},)"
         R"("choices":{"type":"array","minItems":1,"items":{"type":"object","required":["index","finish_reason"],)"
         R"("properties":{"index":{"type":"integer"},"finish_reason":{"enum":["stop","length"]},)" +
         choice +
         R"(}}},"usage":{"type":"object","required":["prompt_tokens","completion_tokens","total_tokens"],)"
         R"("properties":{"prompt_tokens":{"type":"integer"},"completion_tokens":{"type":"integer"},)"
         R"("total_tokens":{"type":"integer"},"prompt_tokens_details":{"type":"object","properties":)"
         R"({"cached_tokens":{"type":"integer"}}}}}}})";
}

}  // namespace loraxs
