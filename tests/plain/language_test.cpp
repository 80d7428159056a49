// Language-model data: which tokens are made of a record, and which of them count.
#include "data/language.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>

#include "data/json_records.h"
#include "data/prompts.h"
#include "io/yaml.h"
#include "support/expect_error.h"
#include "support/task_text.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

constexpr int32_t kBos = 1, kEos = 2, kFirstByte = 10;

/// One token per byte; <s> and </s> are tokens of their own. `joins`: "ab" is one token too, across any boundary.
TextEncoder byte_encoder(bool joins = false) {
  return {.encode =
              [joins](std::string_view text, bool add_special) {
                std::vector<int32_t> ids;
                if (add_special) ids.push_back(kBos);
                for (size_t at = 0; at < text.size();) {
                  const std::string_view rest = text.substr(at);
                  if (rest.starts_with("<s>") || rest.starts_with("</s>")) {
                    ids.push_back(rest.starts_with("<s>") ? kBos : kEos);
                    at += rest.starts_with("<s>") ? 3 : 4;
                  } else if (joins && rest.starts_with("ab")) {
                    ids.push_back(5);
                    at += 2;
                  } else {
                    ids.push_back(kFirstByte + static_cast<uint8_t>(text[at++]));
                  }
                }
                return ids;
              },
          .eos_ids = {kEos},
          .bos_token = "<s>",
          .eos_token = "</s>"};
}

/// The tokens that count, as text: E stands for EOS, B for BOS, J for "ab".
std::string counted(const Encoding& encoding) {
  EXPECT_EQ(encoding.input_ids.size(), encoding.is_target.size());
  std::string text;
  for (size_t i = 0; i < encoding.input_ids.size(); ++i) {
    const int32_t id = encoding.input_ids[i];
    if (encoding.is_target[i] != 0)
      text += id == kBos ? 'B' : id == kEos ? 'E' : id == 5 ? 'J' : static_cast<char>(id - kFirstByte);
  }
  return text;
}

EncodedExamples encode(const Task& task, int64_t max_length, const ChatTemplate* chat = nullptr, bool joins = false) {
  return encode_language(byte_encoder(joins), task, task.train, max_length, chat);
}

Task prompt_task(const std::string& prompt, const std::string& answer) {
  Task task{.kind = TaskKind::kLanguageModel};
  task.train.push_back({.first = prompt, .second = answer});
  return task;
}

TEST(LanguageTest, TheAnswerAndItsEndCount) {
  const EncodedExamples encoded = encode(prompt_task("Q: ", "yes"), 100);
  EXPECT_EQ(counted(encoded.encodings[0]), "yesE");
  EXPECT_EQ(encoded.encodings[0].input_ids.size(), 8U);                                 // BOS, 3, 3, EOS
  EXPECT_EQ(counted(encode(prompt_task("Q: ", "yes</s>"), 100).encodings[0]), "yesE");  // no second EOS
  // By length, never by id: an EOS inside the prompt does not count, one inside the answer does.
  EXPECT_EQ(counted(encode(prompt_task("Q</s>: ", "a</s>b"), 100).encodings[0]), "aEbE");
}

TEST(LanguageTest, WhereTokensSpanTheBoundaryTheSharedOneCounts) {
  EXPECT_EQ(counted(encode(prompt_task("xa", "bc"), 100, nullptr, /*joins=*/true).encodings[0]), "JcE");
  EXPECT_EQ(counted(encode(prompt_task("xa", "bc"), 100).encodings[0]), "bcE");
}

TEST(LanguageTest, LongExamplesLoseTheirEnd) {
  EncodedExamples encoded = encode(prompt_task("Q: ", "yes"), 7);
  EXPECT_EQ(counted(encoded.encodings[0]), "yes");  // no room for EOS
  EXPECT_EQ(encoded.num_truncated, 1);
  encoded = encode(prompt_task("Q: ", "yes"), 5);
  EXPECT_EQ(counted(encoded.encodings[0]), "y");
  encoded = encode(prompt_task("Q: ", "yes"), 4);
  EXPECT_EQ(encoded.size(), 0);
  EXPECT_EQ(encoded.num_dropped, 1);
  EXPECT_ERROR(encode(prompt_task("Q: ", "yes"), 1), "max_length: expected at least 2");
}

TEST(LanguageTest, PlainTextIsCutIntoWindows) {
  Task task = prompt_task("", "abcd");
  task.windows = true;
  task.train.push_back({.second = "ef"});
  const EncodedExamples encoded = encode(task, 4);  // BOS a b c | d EOS BOS e | f EOS
  ASSERT_EQ(encoded.size(), 3);
  EXPECT_EQ(counted(encoded.encodings[0]), "abc");
  EXPECT_EQ(counted(encoded.encodings[1]), "EBe");
  EXPECT_EQ(counted(encoded.encodings[2]), "E");
  EXPECT_EQ(encoded.num_truncated, 0);
}

Task chat_task(const std::string& messages, TrainOn train_on) {
  Task task{.kind = TaskKind::kLanguageModel};
  task.train_on = train_on;
  task.train.push_back({.messages = Json::parse(messages), .where = "chats.jsonl:3"});
  return task;
}

constexpr const char* kChat =
    R"([{"role":"system","content":"S"},{"role":"user","content":"one"},{"role":"assistant","content":"A1"},
        {"role":"user","content":"two"},{"role":"assistant","content":"A2"},{"role":"user","content":"left out"}])";
constexpr const char* kPlain =
    "{{ bos_token }}{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}"
    "{% endif %}|{% endfor %}{% if add_generation_prompt %}a:{% endif %}";

TEST(LanguageTest, AnswersOfAConversationCount) {
  const ChatTemplate chat(kPlain, "plain");
  EXPECT_EQ(counted(encode(chat_task(kChat, TrainOn::kAnswers), 100, &chat).encodings[0]), "A1EA2E");
  EXPECT_EQ(counted(encode(chat_task(kChat, TrainOn::kLast), 100, &chat).encodings[0]), "A2E");
  EXPECT_EQ(counted(encode(chat_task(kChat, TrainOn::kAll), 100, &chat).encodings[0]), "s:S|u:one|a:A1E|u:two|a:A2E|");
  const auto ids = encode(chat_task(kChat, TrainOn::kAnswers), 100, &chat).encodings[0].input_ids;
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kBos), 1);  // the template's own
}

TEST(LanguageTest, MarkedAnswersCount) {
  const ChatTemplate chat(
      "{% for m in messages %}{% if m.role == 'assistant' %}<{% generation %}{{ m.content }}!{% endgeneration %}>{% "
      "else %}"
      "{{ m.content }}{% endif %}{% endfor %}",
      "marked");
  EXPECT_EQ(counted(encode(chat_task(kChat, TrainOn::kAnswers), 100, &chat).encodings[0]), "A1!A2!");
  EXPECT_EQ(counted(encode(chat_task(kChat, TrainOn::kLast), 100, &chat).encodings[0]), "A2!");
}

TEST(LanguageTest, TemplatesThatDoNotFitAreNamedWithFileAndLine) {
  const ChatTemplate changing("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}", "changing");
  EXPECT_EQ(counted(encode(chat_task(kChat, TrainOn::kAnswers), 100, &changing).encodings[0]), "A1A2");
  const ChatTemplate dropping("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
                              "dropping");
  EXPECT_ERROR(
      encode(chat_task(kChat, TrainOn::kAnswers), 100, &dropping),
      "chats.jsonl:3: messages[0]: expected a template that renders turns of system, found that dropping leaves");
  const ChatTemplate refusing("{{ raise_exception('no system turn') }}", "refusing");
  EXPECT_ERROR(encode(chat_task(kChat, TrainOn::kAnswers), 100, &refusing),
               "chats.jsonl:3: refusing: line 1: the template refuses: no system turn");
  EXPECT_ERROR(encode(chat_task(kChat, TrainOn::kAnswers), 100),
               "chats.jsonl:3: expected a model with a chat template");
}

TEST(RecordsTest, ReadsInstructionsWithTheirPrompts) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "a.json", R"([{"instruction": "Add.", "input": "1 2", "output": "3"},
                               {"instruction": "Say hi.", "input": "", "output": "hi"}])");
  Task task = test::load_task_of(folder, "{name: instructions, train: a.json}");
  ASSERT_EQ(task.train.size(), 2U);
  EXPECT_TRUE(task.language_model());
  EXPECT_EQ(task.metric, "loss");
  EXPECT_EQ(
      task.train[0].first,
      "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
      "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### "
      "Response:");
  EXPECT_EQ(task.train[1].first,
            "Below is an instruction that describes a task. Write a response that appropriately completes the "
            "request.\n\n### Instruction:\nSay hi.\n\n### Response:");
  EXPECT_EQ(task.train[1].second, "hi");
  task = test::load_task_of(folder, "{name: instructions, train: a.json, prompt: chat}");
  EXPECT_EQ(task.train[0].messages[0]["content"], "Add.\n\n1 2");
  EXPECT_EQ(task.train[0].messages[1]["role"], "assistant");
}

TEST(RecordsTest, CommonsensePromptsKeepTheirBlanks) {
  const std::string indent(16, ' ');
  const std::string first =
      "Below is an instruction that describes a task. Write a response that appropriately completes the request.";
  const std::string rest =
      "\n\n" + indent + "### Instruction:\n" + indent + "Q?\n\n" + indent + "### Response:\n" + indent;
  EXPECT_EQ(llm_adapters_prompt("Q?", "", /*training=*/true), first + "  " + rest);
  EXPECT_EQ(llm_adapters_prompt("Q?", "", /*training=*/false), first + " " + rest);
}

TEST(RecordsTest, BadLinesStopOrAreSkipped) {
  const test::TemporaryFolder folder;
  const std::string good = R"({"question": "1+1?", "answer": "2\n#### 2"})";
  test::write_text(folder / "train.jsonl",
                   good + "\n{\"question\": \n\n" + good + "\n[1]\n{\"question\": \"x\"}\n" + good);
  test::write_text(folder / "test.jsonl", good);
  EXPECT_ERROR(test::load_task_of(folder, "{name: gsm8k, data: .}"), "train.jsonl:2: expected JSON: ");
  const Task task = test::load_task_of(folder, "{name: gsm8k, data: ., on_error: skip}");
  EXPECT_EQ(task.train.size(), 3U);
  EXPECT_EQ(task.num_skipped, 3);
  EXPECT_EQ(task.validation.size(), 1U);
  test::write_text(folder / "train.jsonl", good + "\n{\"question\": \"x\"}\n");
  EXPECT_ERROR(test::load_task_of(folder, "{name: gsm8k, data: .}"),
               "train.jsonl:2: answer: expected a text, found none");
  test::write_text(folder / "train.jsonl", "{\"question\": \"x\", \"answer\": 5}\n");
  EXPECT_ERROR(test::load_task_of(folder, "{name: gsm8k, data: .}"),
               "train.jsonl:1: answer: expected a text, found number");
  EXPECT_ERROR(test::load_task_of(folder, "{name: gsm8k, data: ., on_error: skip}"),
               "expected records, found only damaged ones");
  test::write_text(folder / "train.jsonl", "\n\n");
  EXPECT_ERROR(test::load_task_of(folder, "{name: gsm8k, data: .}"), "train.jsonl: expected records, found none");
  EXPECT_ERROR(test::load_task_of(folder, "{name: gsm8k}"),
               "task.data: expected the folder with train.jsonl and test.jsonl");
  EXPECT_ERROR(test::load_task_of(folder, "{name: gsm8k, data: ., on_error: ignore}"), "on_error");
}

TEST(RecordsTest, MetaMathKeepsItsFirstHundredThousand) {
  const test::TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 100'003; ++i) lines += "{\"query\": \"q\", \"response\": \"r\"}\n";
  test::write_text(folder / "m.jsonl", lines);
  EXPECT_EQ(test::load_task_of(folder, "{name: metamath, train: m.jsonl}").train.size(), 100'000U);
  EXPECT_EQ(test::load_task_of(folder, "{name: metamath, train: m.jsonl, max_train_examples: 5}").train.size(), 5U);
}

TEST(ChatTest, ReadsMessagesAndShareGpt) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "c.jsonl",
                   R"({"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]})"
                   "\n"
                   R"({"conversations": [{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]})");
  const Task task = test::load_task_of(folder, "{name: chat, train: c.jsonl, train_on: last}");
  ASSERT_EQ(task.train.size(), 2U);
  EXPECT_EQ(task.train[0].messages, task.train[1].messages);
  EXPECT_EQ(task.train_on, TrainOn::kLast);
  test::write_text(folder / "c.jsonl", R"({"messages": [{"role": "user", "content": "x"}]})");
  EXPECT_ERROR(test::load_task_of(folder, "{name: chat, train: c.jsonl}"),
               "c.jsonl:1: expected a turn of the assistant, found none");
}

TEST(TextTest, SetsItsEndAside) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "t.txt", "one\ntwo\nthree\nfour\n");
  const Task task = test::load_task_of(folder, "{name: text, train: t.txt, validation_fraction: 0.3}");
  EXPECT_TRUE(task.windows);
  EXPECT_EQ(task.train[0].second, "one\ntwo\nthree\n");
  EXPECT_EQ(task.validation[0].second, "four\n");
  test::write_text(folder / "t.txt", "one line");
  EXPECT_ERROR(test::load_task_of(folder, "{name: text, train: t.txt, validation_fraction: 0.3}"),
               "validation_fraction");
  test::write_text(folder / "t.txt", " \n");
  EXPECT_ERROR(test::load_task_of(folder, "{name: text, train: t.txt}"), "expected a text, found an empty file");
}

std::string bytes(const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += id == kBos ? '^' : static_cast<char>(id - kFirstByte);
  return text;
}

TEST(LanguageTest, TasksByEveryNameThatPeopleGiveThem) {
  for (const auto& [name, known] : {std::pair{"STS-B", "stsb"},
                                    {"sst_2", "sst2"},
                                    {"ARC-Easy", "arc_easy"},
                                    {"arc-c", "arc_challenge"},
                                    {"social_i_qa", "siqa"},
                                    {"PIQA", "piqa"},
                                    {"OBQA", "openbookqa"},
                                    {"WinoGrande", "winogrande"},
                                    {"nosuch", ""},
                                    {"", ""}}) {
    EXPECT_EQ(known_task(name), known) << name;
  }
  EXPECT_TRUE(is_language_task("BoolQ"));
  EXPECT_FALSE(is_language_task("QNLI"));
}

TEST(LanguageTest, WhoScoresOpensNoTrainingData) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "test.json", R"([{"instruction": "Is it?", "output": "the correct answer is true"}])");
  Fields fields(parse_yaml("{name: boolq, data: .}", "recipe.yaml"), "recipe.yaml", "task");
  const Task task = load_task(fields, folder.path(), MissingFiles::kError, Splits::kValidation);
  EXPECT_EQ(task.name, "boolq");
  EXPECT_EQ(task.train.size(), 0U);
  EXPECT_EQ(task.validation.size(), 1U);
  EXPECT_ERROR(test::load_task_of(folder, "{name: boolq, data: .}"), "train.json");
}

TEST(LanguageTest, CommonsenseInTheLayoutOfLlmAdapters) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "train.json", R"([
    {"instruction": "Please choose the correct solution to the question: To dry a wet shoe,\n\nSolution1: fill it with paper.\n\nSolution2: fill it with water.\n\nAnswer format: solution1/solution2",
     "input": "", "output": "the correct answer is solution1", "answer": "solution1"}])");
  test::write_text(folder / "test.json", R"([
    {"instruction": "Please choose the correct answer to the question: Which is a metal?\n\nAnswer1: iron Answer2: wood Answer3: air Answer4: glass\n\nAnswer format: answer1/answer2/answer3/answer4",
     "input": "", "output": "the correct answer is answer1", "answer": "answer1"}])");
  const Task task = test::load_task_of(folder, "{name: commonsense, data: .}");
  ASSERT_EQ(task.train.size() * task.validation.size(), 1U);
  const Example &piqa = task.train[0], &arc = task.validation[0];
  EXPECT_EQ(answer_of(piqa), "the correct answer is solution1");
  EXPECT_EQ(answer_of(with_answer(arc, "other")), "other");
  const std::string begin =
      "Below is an instruction that describes a task. Write a response that appropriately completes the request.";
  const std::string indent(16, ' ');
  const auto expected = [&](const std::string& blanks, const std::string& instruction) {
    return "^" + begin + blanks + "\n\n" + indent + "### Instruction:\n" + indent + instruction + "\n\n" + indent +
           "### Response:\n" + indent;
  };
  const std::string asked =
      "Please choose the correct answer to the question: Which is a metal?\n\nAnswer1: iron Answer2: wood Answer3: air "
      "Answer4: glass\n\nAnswer format: answer1/answer2/answer3/answer4";
  EXPECT_EQ(bytes(encode_question(byte_encoder(), arc, /*as_trained=*/false, nullptr)), expected(" ", asked));
  EXPECT_EQ(bytes(encode_question(byte_encoder(), arc, /*as_trained=*/true, nullptr)), expected("  ", asked));
  EXPECT_EQ(counted(encode(task, 1000).encodings[0]), "the correct answer is solution1E");
}

TEST(LanguageTest, EvaluationOfMathAsksForSteps) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "t.jsonl", R"({"question": "1 + 1?", "answer": "2\n#### 2"})");
  const Example example = test::load_task_of(folder, "{name: gsm8k, train: t.jsonl}").train[0];
  const std::string trained = bytes(encode_question(byte_encoder(), example, /*as_trained=*/true, nullptr));
  EXPECT_TRUE(trained.ends_with("1 + 1?\n\n### Response:"));
  EXPECT_EQ(bytes(encode_question(byte_encoder(), example, false, nullptr)), trained + " Let's think step by step.");
  EXPECT_FALSE(test::load_task_of(folder, "{name: gsm8k, train: t.jsonl, prompt: none}").train[0].asked.has_value());
}

TEST(LanguageTest, WindowsMayOverlapAndThenCountWhatIsNew) {
  Task task = prompt_task("", "abcdefg");
  task.windows = true;
  const EncodedExamples encoded = encode_language(byte_encoder(), task, task.train, 4, nullptr, 2);
  std::vector<std::string> found;  // BOS a b c | b c d e | d e f g | f g EOS
  for (const Encoding& encoding : encoded.encodings) found.push_back(counted(encoding));
  EXPECT_THAT(found, testing::ElementsAre("abc", "de", "fg", "E"));
  EXPECT_ERROR(encode_language(byte_encoder(), task, task.train, 4, nullptr, 5),
               "stride: expected from 1 to the window's 4");
}

TEST(LanguageTest, CountsOfTheRealFiles) {
  const char* data = std::getenv("LORAXS_DATA");
  if (data == nullptr) GTEST_SKIP() << "LORAXS_DATA is not set: whole corpora are not read";
  const auto real = [&](const std::string& yaml) {
    Fields fields(parse_yaml(yaml, "recipe.yaml"), "recipe.yaml", "task");
    return load_task(fields, data);
  };
  Task task = real("{name: gsm8k, data: gsm8k}");
  EXPECT_EQ(task.train.size(), 7473U);
  EXPECT_EQ(task.validation.size(), 660U);
  EXPECT_EQ(encode(task, 100'000).num_dropped, 0);
  task = real("{name: math, data: math, validation: math/math500.jsonl}");
  EXPECT_EQ(task.train.size(), 7500U);
  EXPECT_EQ(task.validation.size(), 500U);
  EXPECT_EQ(real("{name: metamath, train: metamath/metamathqa_sample.jsonl}").train.size(), 15U);
  EXPECT_EQ(real("{name: instructions, train: instruct/alpaca_en_demo.json}").train.size(), 999U);
  EXPECT_EQ(real("{name: text, train: text/tinyshakespeare.txt, validation_fraction: 0.1}").validation.size(), 1U);
  for (const auto& [set, train, validation] :
       {std::tuple("arc_easy", 2251U, 2376U), std::tuple("boolq", 9427U, 3270U), std::tuple("hellaswag", 999U, 10042U),
        std::tuple("openbookqa", 4957U, 500U), std::tuple("siqa", 200U, 1954U),
        std::tuple("winogrande", 10000U, 1267U)}) {
    SCOPED_TRACE(set);
    task = real(concat("{name: commonsense, data: commonsense/", set, "}"));
    EXPECT_EQ(task.train.size(), train);
    EXPECT_EQ(task.validation.size(), validation);
  }
}

}  // namespace
}  // namespace loraxs
