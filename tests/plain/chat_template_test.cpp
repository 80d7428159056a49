// Chat templates against transformers and Jinja2: tests/oracles/make_chats.py rendered them.
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "io/fields.h"
#include "support/expect_error.h"
#include "support/fixed_time.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;
using jinja::FailureKind;

const Json& oracle() {
  static const Json contents = [] {
    const char* oracles = std::getenv("LORAXS_ORACLES");
    if (oracles == nullptr) throw std::runtime_error("LORAXS_ORACLES is not set; run the tests through ctest");
    std::ifstream file(std::filesystem::path(oracles) / "chats.json");
    return Json::parse(file);
  }();
  return contents;
}

std::string kind_name(FailureKind kind) {
  switch (kind) {
    case FailureKind::kSyntax:
      return "syntax";
    case FailureKind::kUndefined:
      return "undefined";
    case FailureKind::kType:
      return "type";
    case FailureKind::kValue:
      return "value";
    case FailureKind::kSecurity:
      return "security";
    case FailureKind::kRaised:
      return "raised";
    case FailureKind::kLimit:
      return "limit";
    default:
      return "unsupported";
  }
}

ChatOptions options_of(const Json& json) {
  ChatOptions options{.add_generation_prompt = json.value("add_generation_prompt", false),
                      .bos_token = json.value("bos_token", ""),
                      .eos_token = json.value("eos_token", "")};
  if (json.contains("tools")) options.tools = json["tools"];
  if (json.contains("extra")) options.extra = json["extra"];
  return options;
}

/// What we make of it, in the oracle's form.
template <typename Render>
Json result_of(Render render) {
  try {
    return {{"text", render()}};
  } catch (const jinja::TemplateError& error) {
    return {{"error", kind_name(error.kind)}, {"message", error.what()}};
  }
}

bool same(const Json& ours, const Json& theirs) {
  const char* key = theirs.contains("text") ? "text" : "error";
  return ours.contains(key) && ours[key] == theirs[key];
}

TEST(ChatTemplateTest, ConversationsEqualTransformers) {
  size_t wrong = 0, rendered = 0, refused = 0;
  for (const auto& [name, source] : oracle()["templates"].items()) {
    ChatTemplate chat(source, name);
    chat.now = test::fixed_time;
    for (const Json& entry : oracle()["cases"]) {
      const Json& theirs = entry["results"][name];
      const Json ours = result_of([&] { return chat.render(entry["messages"], options_of(entry["options"])); });
      (theirs.contains("text") ? rendered : refused) += 1;
      if (!same(ours, theirs) && ++wrong <= 8) {
        ADD_FAILURE() << name << ": " << entry["messages"].dump() << "\n ours   " << ours << "\n theirs " << theirs;
      }
    }
  }
  EXPECT_EQ(wrong, 0U);
  EXPECT_GT(oracle()["cases"].size(), 300U);
  EXPECT_GT(rendered, 2000U);
  EXPECT_GT(refused, 200U);
}

TEST(JinjaTest, SnippetsEqualJinja2) {
  jinja::Mapping context;
  for (const auto& [name, value] : oracle()["context"].items()) context.set(name, jinja::Value::from_json(value));
  size_t wrong = 0;
  for (const Json& entry : oracle()["snippets"]) {
    const Json ours = result_of([&] {
      return jinja::Template(entry["template"].get<std::string>(), "t").render(context, test::fixed_time).text;
    });
    if (!same(ours, entry) && ++wrong <= 60) ADD_FAILURE() << "ours   " << ours << "\ntheirs " << entry;
  }
  EXPECT_EQ(wrong, 0U) << "of " << oracle()["snippets"].size();
}

TEST(ChatTemplateTest, GenerationBlocksEqualTransformers) {
  const ChatTemplate chat(oracle()["templates"]["marked"], "marked");
  ASSERT_TRUE(chat.marks_generation());
  ASSERT_GT(oracle()["marked"].size(), 30U);
  for (const Json& entry : oracle()["marked"]) {
    const jinja::Rendering rendering = chat.render_marked(entry["messages"], {.bos_token = "<s>", .eos_token = "</s>"});
    std::vector<std::string> said;
    for (const auto& [begin, end] : rendering.generated) said.push_back(rendering.text.substr(begin, end - begin));
    EXPECT_EQ(rendering.text, entry["text"]);
    EXPECT_EQ(said, entry["said"].get<std::vector<std::string>>());
  }
}

TEST(ChatTemplateTest, ReasoningHasTheNamesThatTemplatesRead) {
  const ChatTemplate chat("{{ messages[0] | tojson }}", "t");
  const Json message = {{"role", "assistant"}, {"reasoning", "why"}, {"content", "a\xFF"}};
  EXPECT_EQ(
      chat.render(Json::array({message}), {}),
      R"({"thinking": "why", "role": "assistant", "reasoning": "why", "content": "a�", "reasoning_content": "why"})");
}

TEST(ChatTemplateTest, GenerationTagsAreFoundWhereTheyAreTags) {
  EXPECT_TRUE(ChatTemplate("{%- generation +%}x{% endgeneration %}", "t").marks_generation());
  EXPECT_TRUE(
      ChatTemplate("{%" + std::string(200'000, ' ') + "generation %}x{% endgeneration %}", "t").marks_generation());
  EXPECT_FALSE(ChatTemplate("{# {% generation %} #}{{ '{% generation %}' }}", "t").marks_generation());
}

std::string render(const std::string& source) { return ChatTemplate(source, "t.jinja").render(Json::array(), {}); }

TEST(JinjaTest, ErrorsNameTheLine) {
  EXPECT_ERROR(render("a\n{{ b.c }}"), "t.jinja: line 2: 'b' is undefined");
  EXPECT_ERROR(render("\n\n{% if x %}"), "t.jinja: line 3: expected {% endif %}, found the end of the template");
  EXPECT_ERROR(render("{{ 1\n+\n}}"), "t.jinja: line 3: unexpected the end of the print statement");
  EXPECT_ERROR(render("\n{{ raise_exception('No.') }}"), "t.jinja: line 2: the template refuses: No.");
  EXPECT_ERROR(render("\n\n{% include 'x' %}"), "t.jinja: line 3: not supported: {% include %}");
  EXPECT_ERROR(render("{% macro m() %}\n{{ 1 / 0 }}{% endmacro %}\n\n{{ m() }}"), "line 2: division by zero");
  EXPECT_ERROR(ChatTemplate("x", "t").render(Json::parse("{}"), {}), "t: messages: expected a list, found object");
  EXPECT_ERROR(ChatTemplate("x", "t").render(Json::parse("[1]"), {}),
               "t: messages[0]: expected an object, found number");
}

TEST(ChatTemplateTest, IsFoundWhereModelsKeepIt) {
  const test::TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& text) { std::ofstream(folder / name) << text; };
  EXPECT_FALSE(ChatTemplate::load(folder.path()));
  write("tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_FALSE(ChatTemplate::load(folder.path()));
  write("tokenizer_config.json", R"({"chat_template": "one {{ bos_token }}"})");
  EXPECT_EQ(ChatTemplate::load(folder.path())->render(Json::array(), {.bos_token = "<s>"}), "one <s>");
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]})");
  EXPECT_EQ(ChatTemplate::load(folder.path())->source(), "d");
  EXPECT_EQ(ChatTemplate::load(folder.path(), "tool_use")->source(), "t");
  EXPECT_ERROR(ChatTemplate::load(folder.path(), "rag"),
               "chat_template: expected a template named rag, found default, tool_use");
  write("tokenizer_config.json", R"({"chat_template": "{% if %}"})");
  EXPECT_ERROR(ChatTemplate::load(folder.path()), "tokenizer_config.json: chat_template: line 1: ");
  write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_ERROR(ChatTemplate::load(folder.path()), "chat_template: expected a text or a list, found number");
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": ")" + std::string(9000, 'x') + R"(", "template": ""}]})");
  EXPECT_ERROR(ChatTemplate::load(folder.path()), "found " + std::string(60, 'x') + "…");
  write("chat_template.jinja", std::string(300'000, 'x'));
  EXPECT_ERROR(ChatTemplate::load(folder.path()), "expected a template of at most 262144 bytes, found 300000");
  write("chat_template.jinja", "own");
  EXPECT_EQ(ChatTemplate::load(folder.path())->source(), "own");
}

}  // namespace
}  // namespace loraxs
