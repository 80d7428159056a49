// GSM8K: https://github.com/openai/grade-school-math. MATH: https://github.com/hendrycks/math. MetaMathQA:
// https://huggingface.co/datasets/meta-math/MetaMathQA. Commonsense: https://github.com/AGI-Edgerunners/LLM-Adapters.
#include "data/tasks/records.h"

#include <algorithm>
#include <array>

#include "data/chat_record.h"
#include "data/held_out.h"
#include "data/json_records.h"
#include "data/prompts.h"
#include "io/error.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

struct RecordTask {
  const char* name;
  const char* question;  // keys of a record
  const char* input;     // further context; "" = none
  const char* answer;
  const char* prompt;
  const char* asked;       // what the paper's evaluation appends to an alpaca prompt
  const char* train_file;  // in the folder `data`; "" = `train` must name one
  const char* validation_file;
  int64_t official_train, official_validation;  // rows as published; 0: nobody published any
  size_t most_train = 0;                        // 0: all
};

constexpr const char* kStepByStep = " Let's think step by step.";

constexpr size_t kNumSets = 8;  // the last rows: the sets that commonsense mixes
constexpr std::array<RecordTask, 5 + kNumSets> kTasks = {{
    {"instructions", "instruction", "input", "output", "alpaca", "", "", "", 0, 0},
    {"gsm8k", "question", "", "answer", "alpaca", kStepByStep, "train.jsonl", "test.jsonl", 7473, 1319},
    {"math", "problem", "", "solution", "alpaca", kStepByStep, "train.jsonl", "test.jsonl", 7500, 5000},
    {"metamath", "query", "", "response", "alpaca", kStepByStep, "", "", 100'000, 0, 100'000},
    {"commonsense", "instruction", "input", "output", "llm_adapters", "", "train.json", "test.json", 170'420, 0},
    {"boolq", "instruction", "input", "output", "llm_adapters", "", "train.json", "test.json", 9427, 3270},
    {"piqa", "instruction", "input", "output", "llm_adapters", "", "train.json", "test.json", 16113, 1838},
    {"siqa", "instruction", "input", "output", "llm_adapters", "", "train.json", "test.json", 33410, 1954},
    {"hellaswag", "instruction", "input", "output", "llm_adapters", "", "train.json", "test.json", 39905, 10042},
    {"winogrande", "instruction", "input", "output", "llm_adapters", "", "train.json", "test.json", 40398, 1267},
    {"arc_easy", "instruction", "input", "output", "llm_adapters", "", "train.json", "test.json", 2251, 2376},
    {"arc_challenge", "instruction", "input", "output", "llm_adapters", "", "train.json", "test.json", 1119, 1172},
    {"openbookqa", "instruction", "input", "output", "llm_adapters", "", "train.json", "test.json", 4957, 500},
}};

Example make_example(const RecordTask& task, const std::string& prompt, const Json& record, const std::string& where) {
  const std::string question = record_text(record, task.question, where);
  const std::string input = *task.input != '\0' && record.contains(task.input) && !record[task.input].is_null()
                                ? record_text(record, task.input, where)
                                : "";
  Example example{.second = record_text(record, task.answer, where), .where = where};
  if (question.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error(concat(where, ": ", task.question, ": expected a text, found an empty one"));
  }
  if (example.second->empty()) throw Error(concat(where, ": ", task.answer, ": expected a text, found an empty one"));
  if (prompt == "chat") {
    return pair_conversation(record, input.empty() ? question : question + "\n\n" + input, *example.second, where);
  }
  const std::string system = prompt == "alpaca" ? record_system(record, where) : "";
  std::vector<std::string> used = {task.question, task.input, task.answer};
  if (!system.empty()) used.insert(used.end(), {"system", "system_prompt", "system_message"});
  refuse_context(record, used, where, "prompt: chat renders it by the model's template");
  if (prompt == "llm_adapters") {
    example.first = llm_adapters_prompt(question, input, /*training=*/true);
    example.asked = llm_adapters_prompt(question, input, /*training=*/false);
  } else {
    example.first = prompt == "alpaca" ? alpaca_prompt(question, input, system)
                                       : question + (input.empty() ? "" : "\n" + input) + "\n";
    if (prompt == "alpaca" && *task.asked != '\0') example.asked = example.first + task.asked;
  }
  return example;
}

}  // namespace

std::span<const char* const> record_task_names() {
  static const auto names = [] {
    std::array<const char*, kTasks.size()> all{};
    std::transform(kTasks.begin(), kTasks.end(), all.begin(), [](const RecordTask& task) { return task.name; });
    return all;
  }();
  return names;
}

std::span<const char* const> commonsense_sets() { return record_task_names().last(kNumSets); }

bool is_commonsense(const std::string& name) {
  const auto sets = commonsense_sets();
  return name == "commonsense" || std::find(sets.begin(), sets.end(), name) != sets.end();
}

bool is_record_task(const std::string& name) {
  return std::any_of(kTasks.begin(), kTasks.end(), [&](const RecordTask& task) { return name == task.name; });
}

Task load_records(const std::string& name, Fields& fields, const std::filesystem::path& base, MissingFiles missing,
                  Splits splits) {
  const RecordTask& records =
      *std::find_if(kTasks.begin(), kTasks.end(), [&](const RecordTask& task) { return name == task.name; });
  const std::string folder = *records.train_file == '\0' ? "" : fields.text("data", "");
  std::string train = fields.text("train", "");
  ValidationSource validation = read_validation(fields, !train.empty() || !folder.empty());
  if (!folder.empty()) {
    const auto in_folder = [&](const std::string& file) {
      const bool packed =
          !std::filesystem::exists(base / folder / file) && std::filesystem::exists(base / folder / (file + ".gz"));
      return (std::filesystem::path(folder) / (packed ? file + ".gz" : file)).string();
    };
    if (train.empty() && (splits == Splits::kAll || validation.part > 0)) train = in_folder(records.train_file);
    if (validation.file.empty() && validation.part == 0) validation.file = in_folder(records.validation_file);
  }
  if (train.empty() && validation.file.empty()) {
    fields.fail(*records.train_file == '\0' ? "train" : "data",
                *records.train_file == '\0' ? std::string("expected a .jsonl or .json file, found none")
                                            : concat("expected the folder with ", records.train_file, " and ",
                                                     records.validation_file, ", found none"));
  }
  const std::string prompt = fields.choice("prompt", records.prompt, {"alpaca", "llm_adapters", "chat", "none"});
  const OnError on_error = read_on_error(fields);
  Task task{.name = name, .kind = TaskKind::kLanguageModel, .metric = "loss"};
  task.official_train = records.official_train;
  task.official_validation = records.official_validation;
  const auto read = [&](const std::string& file, MissingFiles absent) {
    if (leaves_empty(base / file, absent)) return std::vector<Example>();
    return read_examples(base / file, on_error, task.num_skipped, [&](const Json& record, const std::string& where) {
      return make_example(records, prompt, record, where);
    });
  };
  if (!train.empty()) task.train = read(train, missing);
  if (records.most_train > 0 && task.train.size() > records.most_train) task.train.resize(records.most_train);
  if (!validation.file.empty()) task.validation = read(validation.file, beside_train(task, missing));
  hold_out(task, validation.part, fields);
  return task;
}

}  // namespace loraxs
