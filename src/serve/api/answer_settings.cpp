#include "serve/api/answer_settings.h"

#include "io/seeds.h"

namespace loraxs {
namespace {

constexpr double kMostTokens = 1 << 24;
constexpr double kInt64 = 9223372036854774784.0;  // the largest float64 below 2^63

const char* const kStopSchema =
    R"({"anyOf":[{"type":"string","minLength":1,"maxLength":256},{"type":"array","maxItems":16,)"
    R"("items":{"type":"string","minLength":1,"maxLength":256}}]})";
const char* const kBiasSchema =
    R"({"type":"object","maxProperties":300,"propertyNames":{"pattern":"^(0|[1-9][0-9]{0,8})$"},)"
    R"("additionalProperties":{"type":"number","minimum":-100,"maximum":100}})";
const char* const kStreamSchema = R"({"type":"object","properties":{"include_usage":{"type":["boolean","null"]},)"
                                  R"("include_obfuscation":{"type":["boolean","null"]}},"additionalProperties":false})";

std::vector<std::string> read_stop(const Body& body) {
  constexpr size_t kMost = 16;
  constexpr size_t kLongest = 1024;
  const nlohmann::json& value = body.raw("stop");
  if (value.is_null()) return {};
  const nlohmann::json list = value.is_array() ? value : nlohmann::json::array({value});
  if (list.size() > kMost) body.fail("stop", concat("expected at most ", kMost, " strings, found ", list.size()));
  std::vector<std::string> stop;
  stop.reserve(list.size());
  for (const nlohmann::json& item : list) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty() ||
        item.get_ref<const std::string&>().size() > kLongest) {
      body.fail("stop", concat("expected texts of 1 to ", kLongest, " bytes, found ", shown_value(item)));
    }
    stop.push_back(item.get<std::string>());
  }
  return stop;
}

std::map<int32_t, float> read_logit_bias(const Body& body) {
  constexpr size_t kMost = SamplingOptions::kMostBiases;
  constexpr double kLargest = 100;
  const nlohmann::json& value = body.raw("logit_bias");
  if (value.is_null()) return {};
  if (!value.is_object() || value.size() > kMost) {
    body.fail("logit_bias", concat("expected at most ", kMost, " token ids with numbers, {\"50256\": -100}, found ",
                                   shown_value(value)));
  }
  std::map<int32_t, float> bias;
  for (const auto& [id, number] : value.items()) {
    const bool whole = !id.empty() && id.size() <= 9 && id.find_first_not_of("0123456789") == std::string::npos &&
                       (id.size() == 1 || id[0] != '0');
    if (!whole) body.fail("logit_bias", concat("expected the id of a token, found ", shown_value(id)));
    const double found = number.is_number() ? number.get<double>() : kLargest + 1;
    if (!(found >= -kLargest && found <= kLargest)) {
      refuse(body.path("logit_bias") + "." + id,
             concat("expected a number from ", -kLargest, " to ", kLargest, ", found ", shown_value(number)));
    }
    bias.emplace(std::stoi(id), static_cast<float>(found));
  }
  return bias;
}

bool read_include_usage(const Body& body) {
  const nlohmann::json& value = body.raw("stream_options");
  if (value.is_null()) return false;
  const BodyFields fields = {{.name = "include_usage", .kind = FieldKind::kBoolean, .help = ""},
                             {.name = "include_obfuscation", .kind = FieldKind::kBoolean, .help = ""}};
  return Body(value, fields, body.path("stream_options")).boolean("include_usage", false);
}

SamplingOptions read_sampling(const Call& call, Body& body) {
  SamplingOptions sampling;
  sampling.temperature = body.number("temperature", 1);
  sampling.repetition_penalty = body.number("repetition_penalty", 1);
  // Without a seed each request draws anew.
  sampling.seed = body.has("seed") ? static_cast<uint64_t>(body.integer("seed", 0)) : derive_seed(0, call.id());
  if (!sampling.greedy()) {  // which draws from nothing that they could narrow
    sampling.top_k = std::max<int64_t>(0, body.integer("top_k", 0));
    sampling.top_p = body.number("top_p", 1);
    sampling.min_p = body.number("min_p", 0);
  }
  sampling.presence_penalty = body.number("presence_penalty", 0);
  sampling.frequency_penalty = body.number("frequency_penalty", 0);
  sampling.logit_bias = read_logit_bias(body);
  return sampling;
}

}  // namespace

BodyFields answer_fields() {
  using K = FieldKind;
  return {
      {"stream", K::kBoolean, "the answer as server-sent events, as it comes"},
      {"temperature", K::kNumber, "0: greedy; 1 if absent", 0, 2},
      {"top_p", K::kNumber, "the fewest tokens whose probabilities reach it", 1e-6, 1},
      {"top_k", K::kInteger, "the k most probable tokens; 0 or -1: all", -1, kMostTokens},
      {"min_p", K::kNumber, "tokens at least this probable, as a share of the most probable one", 0, 0.999999},
      {"repetition_penalty", K::kNumber, "logits of tokens seen are divided by it", 0.01, 100},
      {"presence_penalty", K::kNumber, "taken from the logits of tokens that the answer has", -2, 2},
      {"frequency_penalty", K::kNumber, "the same, for each time", -2, 2},
      {"logit_bias", K::kOther, "token ids with what is added to their logits", 0, 0, kBiasSchema},
      {"seed", K::kInteger, "equal seeds give equal answers", -kInt64, kInt64},
      {"stop", K::kOther, "up to 16 texts that end the answer and do not stand in it", 0, 0, kStopSchema},
      {"ignore_eos", K::kBoolean, "goes on behind the end of the text"},
      {"stream_options", K::kOther, "include_usage: a last event with the tokens used", 0, 0, kStreamSchema},
  };
}

BodyFields foreign_fields() {
  using K = FieldKind;
  const auto neutral = [](const char* name, const char* values, const char* help) {
    return BodyField{name, K::kNeutral, help, 0, 0, values};
  };
  const auto ignored = [](const char* name) { return BodyField{name, K::kIgnored, "accepted; changes no answer"}; };
  return {
      neutral("tools", "[[]]", "models are not given tools"),
      neutral("tool_choice", R"(["none"])", "models are not given tools"),
      neutral("functions", "[[]]", "models are not given tools"),
      neutral("function_call", R"(["none"])", "models are not given tools"),
      neutral("modalities", R"([["text"]])", "answers are text"),
      neutral("audio", "[]", "answers are text"),
      neutral("prediction", "[]", "there is no predicted output"),
      neutral("reasoning_effort", R"(["none"])", "models answer as they were trained"),
      neutral("verbosity", R"(["medium"])", "models answer as they were trained"),
      neutral("web_search_options", "[]", "the server searches nothing"),
      neutral("use_beam_search", "[false]", "answers are drawn or greedy"),
      neutral("length_penalty", "[1, 1.0]", "it belongs to beam search"),
      neutral("min_tokens", "[0]", "an answer ends where its model ends it"),
      neutral("stop_token_ids", "[[]]", "give texts in stop"),
      neutral("allowed_token_ids", "[[]]", "give logit_bias"),
      neutral("bad_words", "[[]]", "give logit_bias"),
      neutral("guided_json", "[]", "answers are free text"),
      neutral("guided_regex", "[]", "answers are free text"),
      neutral("guided_choice", "[]", "answers are free text"),
      neutral("structured_outputs", "[]", "answers are free text"),
      neutral("truncate_prompt_tokens", "[]", "a prompt that is too long is refused"),
      neutral("prompt_logprobs", "[]", "/v1/completions tells them with echo and logprobs"),
      neutral("skip_special_tokens", "[true]", "special tokens end an answer and do not stand in it"),
      neutral("include_stop_str_in_output", "[false]", "what stops an answer does not stand in it"),
      neutral("store", "[false]", "nothing is stored"),
      ignored("user"),
      ignored("metadata"),
      ignored("service_tier"),
      ignored("parallel_tool_calls"),
      ignored("safety_identifier"),
      ignored("prompt_cache_key"),
      ignored("prompt_cache_retention"),
  };
}

AnswerSettings read_answer_settings(const Call& call, Body& body) {
  AnswerSettings settings;
  settings.sampling = read_sampling(call, body);
  settings.stop = read_stop(body);
  settings.ignore_eos = body.boolean("ignore_eos", false);
  settings.stream = body.boolean("stream", false);
  settings.include_usage = read_include_usage(body);
  return settings;
}

std::vector<int32_t> chat_prompt(const Call& call, const nlohmann::ordered_json& messages, const std::string& param) {
  try {
    return call.engine().encode_chat(messages);
  } catch (const ApiError&) {
    throw;
  } catch (const Error& error) {
    throw ApiError(400, error.what(), param);
  }
}

AnswerRequest answer_request(const Call& call, const ServedModelPtr& model, const AnswerSettings& settings,
                             std::vector<int32_t> prompt, const std::string& prompt_field,
                             const std::string& limit_field) {
  const int64_t context = call.engine().context();
  const auto tokens = static_cast<int64_t>(prompt.size());
  if (prompt.empty()) refuse(prompt_field, "expected at least one token, found none");
  if (tokens >= context) {
    throw ApiError(400,
                   concat("request: ", prompt_field, ": ", tokens,
                          " tokens leave no room for an answer in a context of ", context),
                   prompt_field, "context_length_exceeded");
  }
  if (settings.max_new_tokens > context - tokens) {
    throw ApiError(
        400,
        concat("request: ", limit_field, ": ", tokens, " tokens of the prompt and ", settings.max_new_tokens,
               " of the answer are more than the context of ", context, "; at most ", context - tokens, " are left"),
        limit_field, "context_length_exceeded");
  }
  AnswerRequest request;
  request.caller = call.caller;
  request.model = model;
  request.prompt = std::move(prompt);
  request.sampling = settings.sampling;
  request.max_new_tokens = settings.max_new_tokens;
  request.samples = settings.samples;
  request.stop = settings.stop;
  request.ignore_eos = settings.ignore_eos;
  return request;
}

int64_t most_tokens(const Call& call, const std::vector<AnswerRequest>& requests) {
  int64_t tokens = 0;
  for (const AnswerRequest& request : requests) {
    const auto prompt = static_cast<int64_t>(request.prompt.size());
    const int64_t answer = request.max_new_tokens > 0 ? request.max_new_tokens : call.engine().context() - prompt;
    tokens += prompt + request.samples * answer;
  }
  return tokens;
}

}  // namespace loraxs
