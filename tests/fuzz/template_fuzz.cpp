// A chat template: parsed and rendered twice over the same conversation. Whatever it is, it ends in a text or an Error,
// within its limits, and the same both times.
#include <cstdlib>
#include <string>

#include "text/chat_template.h"

namespace {

using Json = nlohmann::ordered_json;

void require(bool holds) {
  if (!holds) std::abort();
}

std::string outcome(const loraxs::jinja::Template& parsed, const loraxs::jinja::Mapping& context,
                    const loraxs::jinja::Limits& limits) {
  try {
    loraxs::jinja::Spent spent;
    const auto rendering = parsed.render(
        context, [] { return std::tm{.tm_mday = 1}; }, &spent);
    require(static_cast<int64_t>(rendering.text.size()) <= limits.text_bytes);
    require(spent.steps <= limits.steps && spent.bytes <= limits.total_bytes);
    for (const auto& [begin, end] : rendering.generated) require(begin <= end && end <= rendering.text.size());
    return rendering.text;
  } catch (const loraxs::jinja::TemplateError& error) {
    const std::string what = error.what();
    require(what.size() < 500 && what.find('\n') == std::string::npos);
    return what;
  }
}

loraxs::jinja::Mapping conversation() {
  loraxs::jinja::Mapping context;
  context.set("messages", loraxs::jinja::Value::from_json(Json::parse(R"([
    {"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": " Grüße \ud83d\ude00 a,b  c "},
    {"role": "assistant", "content": null, "tool_calls": [{"id": 1, "function": {"name": "f", "arguments": {"x": 1.5}}}]},
    {"role": "tool", "content": [{"type": "text", "text": "ΑΣ ß"}]}, {"role": "assistant", "content": "<think>h</think>Yes."}])")));
  context.set("tools",
              loraxs::jinja::Value::from_json(Json::parse(R"([{"name": "f", "parameters": {"b": [], "a": true}}])")));
  context.set("add_generation_prompt", true);
  context.set("bos_token", "<s>");
  return context;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const loraxs::jinja::Mapping context = conversation();
  // An hour, so that the steps end it: the same on a machine that is slow or busy.
  const loraxs::jinja::Limits limits{.steps = 200'000, .total_bytes = 16 << 20, .time = std::chrono::hours(1)};
  try {
    const loraxs::jinja::Template parsed(std::string(reinterpret_cast<const char*>(data), size), "t", limits);
    require(outcome(parsed, context, limits) == outcome(parsed, context, limits));
  } catch (const loraxs::Error& error) {
    require(std::string(error.what()).size() < 500);
  }
  return 0;
}
