// Shapes of conversations that people have, and what of a record would change the prompt.
#include "data/chat_record.h"

#include <gtest/gtest.h>

#include "data/chat_rendering.h"
#include "data/language.h"
#include "io/json.h"
#include "support/expect_error.h"
#include "support/task_text.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

Example read(const std::string& record, NeedsAnswer needs_answer = NeedsAnswer::kYes) {
  return read_chat_record(Json::parse(record), "r:1", needs_answer);
}
Json messages_of(const std::string& record) { return read(record).messages; }

constexpr const char* kPair = R"([{"role":"user","content":"u"},{"role":"assistant","content":"a"}])";
const std::string kTurns = kPair;

TEST(ChatRecordTest, UsualShapesAreOneConversation) {
  const Json pair = Json::parse(kPair);
  for (
      const std::string& record :
      {kTurns, "{\"messages\":" + kTurns + "}", "{\"conversation\":" + kTurns + ",\"id\":3,\"score\":0.5}",
       "{\"conversations\":" + kTurns + "}", "{\"chosen\":" + kTurns + ",\"rejected\":[]}",
       std::string(R"({"conversations":[{"from":"Human","value":"u"},{"from":"bot","value":"a"}]})"),
       std::string(R"({"messages":[{"from":"prompter","content":"u"},{"role":"model","content":"a"}]})"),
       std::string(R"({"prompt":"u","completion":"a"})"),
       std::string(R"({"prompt":"u","response":"a","source":"web"})"),
       std::string(R"({"prompt":"u","completions":["a"]})"), "{\"prompt\":\"u\",\"messages\":" + kTurns + "}",
       std::string(R"({"prompt":[{"role":"user","content":"u"}],"chosen":[{"role":"assistant","content":"a"}]})"),
       R"({"prompt":[{"role":"user","content":"u"}],"chosen":)" + kTurns + "}",
       std::string(R"({"instruction":"u","input":"","output":"a"})"), std::string(R"({"question":"u","answer":"a"})"),
       std::string(R"({"query":"u","response":"a","history":[]})"),
       std::string(
           R"({"conversations":[{"from":"human","value":"u"}],"chosen":{"from":"gpt","value":"a"},"rejected":{"from":"gpt","value":"b"}})"),
       "{\"messages\":" + kTurns + ",\"chosen\":" + kTurns + "}",
       std::string(R"({"instruction":"u","context":null,"response":"a","category":"open_qa"})")}) {
    SCOPED_TRACE(record);
    EXPECT_EQ(messages_of(record), pair);
  }
}

TEST(ChatRecordTest, SystemHistoryAndContextStandBeforeTheQuestion) {
  EXPECT_EQ(
      messages_of(R"({"system":"s","instruction":"i","input":"x","output":"a","history":[["q1","a1"],["q2","a2"]]})"),
      Json::parse(
          R"([{"role":"system","content":"s"},{"role":"user","content":"q1"},{"role":"assistant","content":"a1"},
                            {"role":"user","content":"q2"},{"role":"assistant","content":"a2"},
                            {"role":"user","content":"i\n\nx"},{"role":"assistant","content":"a"}])"));
  EXPECT_EQ(messages_of(R"({"system_prompt":"s","question":"u","response":"a"})")[0]["content"], "s");
  EXPECT_EQ(
      messages_of(R"({"system":"s","messages":[{"role":"system","content":"s"},{"role":"assistant","content":"a"}]})")
          .size(),
      2U);
  EXPECT_ERROR(
      read(R"({"system":"t","messages":[{"role":"system","content":"s"},{"role":"assistant","content":"a"}]})"),
      "r:1: system: expected no other text");
  EXPECT_ERROR(read(R"({"system":5,"prompt":"u","completion":"a"})"), "r:1: system: expected a text, found number");
  EXPECT_ERROR(read(R"({"prompt":"u","completion":"a","history":["q","a"]})"),
               "history[0]: expected a list of two texts");
}

TEST(ChatRecordTest, WhatChangesThePromptIsUsedOrNamed) {
  const auto with = [](const std::string& more) { return "{\"messages\":" + kTurns + "," + more + "}"; };
  EXPECT_EQ(read(with(R"("tools":"[{\"name\":\"f\"}]")")).tools, Json::parse(R"([{"name":"f"}])"));
  EXPECT_EQ(read(with(R"("tools":[{"name":"f"}])")).tools, Json::parse(R"([{"name":"f"}])"));
  EXPECT_EQ(read(with(R"("functions":[{"name":"f"}])")).tools,
            Json::parse(R"([{"type":"function","function":{"name":"f"}}])"));
  EXPECT_TRUE(read(with(R"("tools":"[]")")).tools.is_null());
  EXPECT_EQ(read(with(R"("chat_template_kwargs":{"enable_thinking":false})")).template_arguments["enable_thinking"],
            false);
  EXPECT_ERROR(read(with(R"j("tools":"f(x)")j")), "r:1: tools");
  EXPECT_ERROR(read(with(R"("tools":[3])")), "r:1: tools[0]: expected an object");
  for (const std::string key : {"images", "history", "instruction", "input", "context", "suffix", "chat_template",
                                "choices", "options", "reasoning", "rationale", "passage"}) {
    EXPECT_ERROR(read(with("\"" + key + "\":\"x\"")), "r:1: " + key + ": expected");
    EXPECT_NO_THROW(read(with("\"" + key + "\":null")));
  }
  EXPECT_ERROR(read(with(R"("conversation":[{"role":"user","content":"v"}])")), "expected messages");
  EXPECT_ERROR(read(with(R"("prompt":"another")")), "r:1: prompt: expected what the first user's turn");
  EXPECT_ERROR(read(R"({"prompt":"u","completion":"a","label":false})"), "r:1: label: expected an answer to learn");
  for (const std::string bad : {"0", "\"False\""}) {
    EXPECT_ERROR(read(R"({"prompt":"u","completion":"a","label":)" + bad + "}"),
                 "r:1: label: expected an answer to learn");
    EXPECT_ERROR(read(with("\"kto_tag\":" + bad)), "r:1: kto_tag: expected an answer to learn");
  }
  EXPECT_NO_THROW(read(R"({"prompt":"u","completion":"a","label":true})"));
  EXPECT_ERROR(read(with(R"("chosen":[{"role":"user","content":"u"},{"role":"assistant","content":"b"}])")),
               "r:1: chosen: expected the turns of messages, found others");
  EXPECT_ERROR(read(R"({"prompt":"u","completions":["a","b"]})"), "completions: expected one answer, found 2");
  EXPECT_ERROR(read(R"({"id":1,"body":"x"})"), "or instruction with output, found id, body");
  EXPECT_ERROR(read(R"({"prompt":"u"})"), "r:1: expected a turn of the assistant, found none");
  EXPECT_EQ(read(R"({"prompt":"u"})", NeedsAnswer::kNo).messages.size(), 1U);
}

TEST(ChatRecordTest, TurnsSayWhoSpeaks) {
  const auto turn = [](const std::string& text) {
    return messages_of("[" + text + R"(,{"role":"assistant","content":"a"}])")[0];
  };
  EXPECT_EQ(turn(R"({"from":"observation","value":"4.2"})")["role"], "tool");
  EXPECT_EQ(turn(R"({"from":"function_response","value":"4.2"})")["role"], "tool");
  EXPECT_EQ(turn(R"({"role":"ipython","content":"4.2"})")["role"], "ipython");  // the template's to know
  EXPECT_EQ(turn(R"({"from":"developer","value":"x"})")["role"], "developer");
  EXPECT_EQ(turn(R"({"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}})")["tool_calls"],
            Json::parse(R"([{"type":"function","function":{"name":"f","arguments":"{}"}}])"));
  EXPECT_EQ(turn(R"({"role":"user","content":["a",{"type":"text","text":"b"},{"text":"c"}]})")["content"].size(), 3U);
  EXPECT_ERROR(turn(R"({"role":"user","content":[{"type":"image_url","image_url":{}}]})"),
               "[0]: content[0]: type: expected text, found \"image_url\"");
  EXPECT_ERROR(turn(R"({"from":"narrator","value":"x"})"), "r:1[0]: from: expected human, gpt, system");
  EXPECT_ERROR(turn(R"({"content":"x"})"), "r:1[0]: role: expected a text, found none");
  EXPECT_ERROR(turn(R"({"role":"user"})"), "r:1[0]: content: expected a text, found none");
  EXPECT_ERROR(turn(R"({"role":"user","content":7})"), "r:1[0]: content: expected a text, found number");
  EXPECT_ERROR(turn(R"({"role":"user","from":"human","content":"x"})"), "expected role or from, found both");
  EXPECT_ERROR(turn(R"({"role":"user","content":"x","value":"y"})"), "expected content or value, found both");
  EXPECT_ERROR(turn(R"({"role":"assistant","content":"x","weight":0.5})"), "weight: expected 0 or 1");
  EXPECT_EQ(turn(R"({"role":"assistant","content":"x","loss":false})")["weight"], 0);  // not learnt
  EXPECT_FALSE(turn(R"({"role":"assistant","content":"x","loss":true})").contains("loss"));
  EXPECT_ERROR(turn(R"({"role":"assistant","content":"x","loss":0.5})"), "loss: expected true or false");
  for (const std::string key : {"train_detail", "loss_scale", "mask"}) {
    EXPECT_ERROR(turn(R"({"role":"assistant","content":"x",")" + key + "\":[1]}"),
                 "r:1[0]: " + key + ": expected train: true or false for a whole turn");
    EXPECT_NO_THROW(turn(R"({"role":"assistant","content":"x",")" + key + "\":null}"));
  }
}

/// One token per byte.
TextEncoder bytes() {
  return {.encode = [](std::string_view text, bool) { return std::vector<int32_t>(text.begin(), text.end()); }};
}
std::string rendered(const std::string& record, const std::string& source, TrainOn train_on = TrainOn::kAll) {
  Task task{.kind = TaskKind::kLanguageModel};
  task.train_on = train_on;
  task.train.push_back(read(record));
  const ChatTemplate chat(source, "t");
  const Encoding encoding = encode_language(bytes(), task, task.train, 10'000, &chat).encodings.at(0);
  std::string text;
  for (size_t i = 0; i < encoding.input_ids.size(); ++i) {
    if (i == 0 || encoding.is_target[i] != 0) text += static_cast<char>(encoding.input_ids[i]);
  }
  return text;
}

constexpr const char* kTools =
    "^{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<{{ c.function.name }} {{ c.function.arguments | tojson }}>{% endfor %}{% endfor "
    "%}";
constexpr const char* kTexts = "^{% for m in messages %}[{{ m.role }}]{{ m.content.strip() }}{% endfor %}";
constexpr const char* kParts =
    "^{% for m in messages %}[{{ m.role }}]{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content "
    "%}"
    "({{ p.text }}){% endfor %}{% endif %}{% endfor %}";

TEST(ChatRenderingTest, CallsAndPartsTakeTheFormOfTheTemplate) {
  const std::string call =
      R"([{"from":"human","value":"u"},{"from":"function_call","value":"{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},
          {"from":"observation","value":"2"},{"from":"gpt","value":"a"}])";
  EXPECT_EQ(rendered(call, kTools), "^[user]u[assistant]<f {\"x\": 1}>[tool]2[assistant]a");
  EXPECT_EQ(rendered(call, kTexts),
            "^[user]u[assistant]{\"name\": \"f\", \"arguments\": {\"x\": 1}}[tool]2[assistant]a");
  EXPECT_EQ(rendered(call, kTools, TrainOn::kAnswers), "^<f {\"x\": 1}>a");
  const std::string parts =
      R"([{"role":"user","content":["u",{"type":"text","text":"v"}]},{"role":"assistant","content":"a"}])";
  EXPECT_EQ(rendered(parts, kTexts), "^[user]uv[assistant]a");
  EXPECT_EQ(rendered(parts, kParts), "^[user](u)(v)[assistant]a");
}

/// The calls stay where they are, and all that the template wrote for them counts.
TEST(ChatRenderingTest, CallsCountWhereTheTemplateWantsThemBeforeTheirResults) {
  const std::string strict =
      "^{% for m in messages %}{% if m.tool_calls %}[CALL]{{ m.tool_calls[0].function.name }};{% elif m.role == 'tool' "
      "%}"
      "{% if not messages[loop.index0 - 1].tool_calls %}{{ raise_exception('no call') }}{% endif %}[R]{{ m.content }}"
      "{% else %}[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}";
  const std::string call =
      R"([{"from":"human","value":"u"},{"from":"tool_call","value":"[{\"name\": \"f\", \"arguments\": {}}]"},
          {"from":"observation","value":"2"},{"from":"gpt","value":"a"}])";
  EXPECT_EQ(rendered(call, strict), "^[user]u[CALL]f;[R]2[assistant]a");
  EXPECT_EQ(rendered(call, strict, TrainOn::kAnswers), "^[CALL]f;a");
  EXPECT_EQ(rendered(call, strict, TrainOn::kLast), "^a");
}

TEST(ChatRenderingTest, WhatTheTemplateLeavesOutIsNamed) {
  const std::string tools = "{\"messages\":" + kTurns + R"(,"tools":[{"name":"f"}]})";
  EXPECT_EQ(rendered(tools, kTools), "^[{\"name\": \"f\"}][user]u[assistant]a");
  EXPECT_ERROR(rendered(tools, kTexts), "r:1: tools: expected a template that renders them");
  EXPECT_ERROR(rendered("{\"messages\":" + kTurns + R"(,"documents":[{"text":"x"}]})", kTexts),
               "r:1: documents: expected");
  EXPECT_ERROR(rendered("{\"messages\":" + kTurns + R"(,"chat_template_kwargs":{"enable_thinking":true}})", kTexts),
               "r:1: chat_template_kwargs.enable_thinking: expected a name that the template reads");
  const std::string call = R"([{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f"}}]}])";
  EXPECT_ERROR(rendered(call, kTexts), "r:1: messages[0]: tool_calls: expected a template that renders them");
  const std::string reasoning =
      R"([{"role":"user","content":"u"},{"role":"assistant","content":"a","reasoning_content":"r"}])";
  EXPECT_ERROR(rendered(reasoning, kTexts), "r:1: messages[1]: reasoning: expected a template that renders it");
  const std::string known = "^{% for m in messages if m.role in ['user', 'assistant'] %}{{ m.content }}{% endfor %}";
  EXPECT_ERROR(rendered(R"([{"role":"developer","content":"d"},{"role":"assistant","content":"a"}])", known),
               "r:1: messages[0]: expected a template that renders turns of developer");
}

TEST(ChatRenderingTest, TurnsThatARecordLeavesOutAreNotLearnt) {
  const std::string weighed =
      R"([{"role":"user","content":"u"},{"role":"assistant","content":"bad","weight":0},{"role":"user","content":"v"},
          {"role":"assistant","content":"good","weight":1},{"from":"human","value":"w"},{"from":"gpt","value":"no","train":false}])";
  EXPECT_EQ(rendered(weighed, kTexts, TrainOn::kAnswers), "^good");
  EXPECT_EQ(rendered(weighed, kTexts, TrainOn::kLast), "^good");
  EXPECT_ERROR(rendered(weighed, kTexts), "r:1: messages[1]: expected a turn to learn, as train_on: all");
  const std::string marked =
      "^{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
      "{% else %}{{ m.content }}{% endif %}{% endfor %}";
  EXPECT_EQ(rendered(weighed, marked, TrainOn::kAnswers), "^good");
}

TEST(ChatRenderingTest, InstructionsKeepTheirSystemTurn) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "a.jsonl", R"({"system":"S.","instruction":"i","input":"","output":"o"})");
  EXPECT_EQ(test::load_task_of(folder, "{name: instructions, train: a.jsonl}").train[0].first,
            "S.\n\n### Instruction:\ni\n\n### Response:");
  EXPECT_EQ(
      test::load_task_of(folder, "{name: instructions, train: a.jsonl, prompt: chat}").train[0].messages[0]["content"],
      "S.");
  EXPECT_ERROR(test::load_task_of(folder, "{name: instructions, train: a.jsonl, prompt: none}"),
               "a.jsonl:1: system: expected no such key");
  test::write_text(folder / "a.jsonl", R"({"instruction":"i","output":"o","history":[["q","a"]]})");
  EXPECT_EQ(test::load_task_of(folder, "{name: instructions, train: a.jsonl, prompt: chat}").train[0].messages.size(),
            4U);
  EXPECT_ERROR(test::load_task_of(folder, "{name: instructions, train: a.jsonl}"),
               "a.jsonl:1: history: expected no such key");
}

}  // namespace
}  // namespace loraxs
