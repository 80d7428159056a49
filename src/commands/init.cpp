#include "cli/subcommands/init.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "adapt/method.h"
#include "api/task_encoder.h"
#include "commands/data_survey.h"
#include "commands/dry_run.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "commands/shell_line.h"
#include "data/example_view.h"
#include "data/task.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/text_file.h"
#include "io/yaml.h"
#include "text/chat_template.h"
#include "train/recipe.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kHeldOut = 0.2;      // of one's own labelled data
constexpr double kTextHeldOut = 0.1;  // of a plain text
constexpr double kRecordsHeldOut = 0.1;

/// Where each method learns well on the paper's targets: recipes/methods.
constexpr std::pair<const char*, double> kLearningRates[] = {
    {"full", 1e-4}, {"pissa", 5e-4}, {"adalora", 2e-3}, {"tied_lora", 2e-3}, {"tiny_lora", 1e-2}, {"vera", 1e-2}};

/// What was found, for people and programs, beside the recipe it led to.
struct Findings {
  Json data;  // file or folder, records, columns or keys
  Json labels;
  nlohmann::json task;  // section of the recipe
};

bool is_decoder(const BaseModel& model) { return model.architecture->kind == ModelKind::kDecoder; }

/// A table for an encoder.
Findings find_in_table(const InitOptions& options) {
  const TableSurvey survey =
      survey_table(options.train, {.text = options.text, .text_pair = options.text_pair, .label = options.label});
  const bool scores = options.task.empty() ? survey.kind == TaskKind::kRegression : options.task == "regression";
  Findings found{.data = {{"file", options.train}, {"records", survey.rows}, {"columns", survey.columns}}};
  found.task = {{"name", scores ? "regression" : "classification"},
                {"train", options.train},
                {"text", survey.chosen.text},
                {"label", survey.chosen.label}};
  if (!survey.chosen.text_pair.empty()) found.task["text_pair"] = survey.chosen.text_pair;
  found.task["validation"] = options.validation.empty() ? nlohmann::json(kHeldOut) : nlohmann::json(options.validation);
  if (scores) return found;
  int64_t most = 0;
  for (const auto& [label, count] : survey.labels) {
    found.labels[label] = count;
    most = std::max(most, count);
  }
  // Where one class is nearly all, to guess it always is accurate already.
  constexpr double kNearlyAll = 0.8;
  const bool rare = static_cast<double>(most) > kNearlyAll * static_cast<double>(survey.rows);
  found.task["metric"] = rare ? "matthews" : "accuracy";
  return found;
}

/// Records or a text for a decoder.
Findings find_in_records(const InitOptions& options, bool has_template) {
  const std::string extension = text_extension(options.train);
  if (extension != ".jsonl" && extension != ".json" && extension != ".txt") {
    throw Error(concat(options.train, ": expected .jsonl, .json or .txt for a language model, found ", extension,
                       "; tables of labels are for encoders such as models/minilm"));
  }
  if (!std::filesystem::exists(options.train))
    throw Error(concat(options.train, ": cannot open: there is no such file"));
  RecordSurvey survey;
  if (options.task.empty()) {
    survey = survey_records(options.train);
  } else {
    survey.task = options.task;
  }
  Findings found{.data = {{"file", options.train}}};
  if (survey.records > 0) found.data["records"] = survey.records;
  if (!survey.keys.empty()) found.data["keys"] = survey.keys;
  if (survey.task == "chat" && !has_template) {
    throw Error(concat(options.model, ": expected a chat template for the conversations of ", options.train,
                       ", found none; take the instruct form of the model, or records of instruction and output"));
  }
  found.task = {{"name", survey.task}, {"train", options.train}};
  constexpr int64_t kEnoughToHoldOut = 10;
  if (!options.validation.empty()) {
    found.task["validation"] = options.validation;
  } else if (survey.task != "text" && survey.records >= kEnoughToHoldOut) {
    found.task["validation"] = kRecordsHeldOut;
  }
  if (survey.task == "text" && extension == ".txt" && options.validation.empty())
    found.task["validation_fraction"] = kTextHeldOut;
  if (survey.task == "instructions" && has_template) found.task["prompt"] = "chat";
  return found;
}

Findings find_known_task(const InitOptions& options, const std::string& task) {
  const std::string folder = options.data.empty() ? "data/" + task : options.data;
  if (!std::filesystem::is_directory(folder)) {
    throw Error(concat(folder, ": expected the folder of ", task,
                       " as distributed, found none; name it with --data, or your own file with --train"));
  }
  return {.data = {{"folder", folder}}, .task = {{"name", task}, {"data", folder}}};
}

/// Picks the task by options and data, and reads what is there. Throws Error where they contradict each other or the
/// model's kind.
Findings find_task(InitOptions options, const BaseModel& model, bool has_template) {
  if (!options.task.empty()) {
    if (known_task(options.task).empty())
      Fields(nlohmann::json{{"--task", options.task}}, "command line").choice("--task", "", task_names());
    options.task = known_task(options.task);
  }
  const bool own = options.task == "classification" || options.task == "regression";
  const bool columns = !options.text.empty() || !options.text_pair.empty() || !options.label.empty();
  if (!options.task.empty() && is_language_task(options.task) != is_decoder(model)) {
    throw Error(concat(
        "--task ", options.task, ": expected ",
        is_decoder(model) ? "a task for language models (chat, instructions, text, …)" : "a task with labels or scores",
        " for ", options.model, " (", model.architecture->model_type, "), found another kind"));
  }
  if (!options.task.empty() && !own && !is_decoder(model) && (columns || !options.train.empty())) {
    throw Error(concat("--train, --text, --text-pair and --label: expected --task classification or regression, found ",
                       options.task, ", which has files of its own; give their folder with --data"));
  }
  if (is_decoder(model) && columns) {
    throw Error(concat("--text, --text-pair and --label: expected an encoder, which reads tables, found ",
                       options.model, " (", model.architecture->model_type, ")"));
  }
  if (!options.train.empty())
    return is_decoder(model) ? find_in_records(options, has_template) : find_in_table(options);
  if (own || columns) throw Error("--train: expected the file with the texts and labels, found none");
  if (!options.task.empty()) return find_known_task(options, options.task);
  if (!options.data.empty()) {
    const std::string name = std::filesystem::weakly_canonical(options.data).filename().string();
    if (known_task(name).empty()) {
      throw Error(concat("--data ", options.data,
                         ": expected the folder of a known task, whose name tells it (qnli, "
                         "gsm8k, …), found ",
                         name, "; name the task with --task"));
    }
    options.task = known_task(name);
    return find_task(options, model, has_template);
  }
  if (!is_decoder(model)) return find_known_task(options, "qnli");
  throw Error(
      concat("--train: expected a file to learn from for ", options.model,
             ", found none; give records (.jsonl, .json) or a text (.txt), or the folder of a known task with --data"));
}

/// Lengths of the training examples in tokens, and the max_length that holds nearly all of them.
struct Lengths {
  int64_t measured = 0, shortest = 0, median = 0, longest = 0;
  int64_t max_length = 0, cut = 0;  // cut: of the measured, those that are longer
};
Lengths measure_lengths(const Task& task, const BaseModel& model, const TaskEncoder& encoder) {
  constexpr size_t kMeasured = 20'000;
  constexpr int64_t kStep = 32, kLongest = 2048, kWindow = 512;
  const int64_t limit = model.config.max_length();
  std::vector<Example> examples(task.train.begin(),
                                task.train.begin() + std::ptrdiff_t(std::min(kMeasured, task.train.size())));
  std::vector<int64_t> lengths = ExampleView(encoder.encode(task, examples, limit)).lengths();
  if (lengths.empty()) throw Error(concat(task.name, ": expected examples that have something to learn, found none"));
  std::sort(lengths.begin(), lengths.end());
  Lengths result{.measured = static_cast<int64_t>(lengths.size()),
                 .shortest = lengths.front(),
                 .median = lengths[lengths.size() / 2],
                 .longest = lengths.back()};
  if (task.windows) {
    result.max_length = std::min(limit, kWindow);
    return result;
  }
  const int64_t nearly_all = lengths[lengths.size() - 1 - lengths.size() / 100];
  result.max_length = std::min({(nearly_all + kStep - 1) / kStep * kStep, limit, kLongest});
  result.cut = lengths.end() - std::upper_bound(lengths.begin(), lengths.end(), result.max_length);
  return result;
}

/// "billing 35, shipping 34"
std::string counts_text(const Json& counts) {
  std::string text;
  constexpr size_t kShown = 300;
  for (const auto& [name, count] : counts.items()) text += concat(text.empty() ? "" : ", ", name, " ", count);
  return shortened(text, kShown);
}

std::string list_text(const Json& names) {
  std::string text;
  constexpr size_t kShown = 300;
  for (const Json& name : names) text += (text.empty() ? "" : ", ") + name.get<std::string>();
  return shortened(text, kShown);
}

void print_findings(const Json& found, const std::string& program) {
  const auto say = [](const std::string& what, const std::string& text) {
    std::cout << what << ": " << printable(text) << '\n';
  };
  const auto text = [&](const char* section, const char* key) { return found.at(section).at(key).get<std::string>(); };
  const auto number = [](const Json& json, const char* key) { return json.at(key).get<int64_t>(); };
  const Json &model = found.at("model"), &data = found.at("data"), &tokens = found.at("tokens"),
             &plan = found.at("plan");
  say("model", concat(text("model", "path"), ": ", text("model", "family"), " ", text("model", "kind"), ", ",
                      number(model, "layers"), " layers of ", number(model, "hidden_size"), ", texts of up to ",
                      number(model, "max_positions"), " tokens",
                      text("model", "kind") == "encoder"      ? ""
                      : model.at("chat_template").get<bool>() ? ", with a chat template"
                                                              : ", without a chat template"));
  std::string source = data.contains("file") ? text("data", "file") : text("data", "folder");
  if (data.contains("records")) source += concat(": ", number(data, "records"), " records");
  if (data.contains("columns")) source += " of columns " + list_text(data.at("columns"));
  if (data.contains("keys")) source += " with " + list_text(data.at("keys"));
  say("data", source);
  say("task", yaml_flow(found.at("task")));
  if (!found.at("labels").is_null()) say("labels", counts_text(found.at("labels")));
  say("tokens", concat(number(tokens, "shortest"), " to ", number(tokens, "longest"), ", median ",
                       number(tokens, "median"), "; max_length ", number(found, "max_length"),
                       found.at("windows").get<bool>()
                           ? " is the window"
                           : concat(" cuts ", number(tokens, "cut"), " of ", number(tokens, "measured"))));
  say("training",
      concat(plan.at("method").get<std::string>(), " of ", number(plan, "trained_parameters"), " numbers on ",
             number(plan, "sites"), " projections, head ", number(plan, "head_parameters"), "; ",
             number(plan, "train_examples"), " examples, ", number(plan, "total_steps"), " steps; ",
             number(plan, "validation_examples"), " for validation by ", found.at("metric").get<std::string>()));
  const std::string path = found.at("recipe").get<std::string>();
  std::cout << printable(path) << ": written; look it through, then run: " << shell_line({program, "train", path})
            << '\n';
}

}  // namespace

int run(const InitOptions& options, const CommonOptions& common) {
  refuse_existing(options.path, "file");
  const Method& method = find_method(options.method, "--method");
  Progress progress(stderr_log(common));
  progress.begin("reading");
  const BaseModel model = model_shape(options.model, settings_of(common).reading);
  const bool has_template = ChatTemplate::load(model.folder).has_value();
  const Findings found = find_task(options, model, has_template);
  Fields fields(found.task, options.path, "task");
  const Task task = load_task(fields, std::filesystem::current_path());
  if (task.train.empty()) throw Error(concat(options.path, ": task.train: expected training examples, found none"));
  progress.begin("tokenizing");
  const auto tokenizer = tokenizer_of(model);
  const Lengths lengths = measure_lengths(task, model, TaskEncoder(*tokenizer, model.folder));

  Recipe recipe{.model = options.model,
                .accept_config = common.accept_config,
                .pre_tokenizer = common.pre_tokenizer,
                .output = "runs/" + task.name};
  recipe.method.name = method.name;
  recipe.head = is_decoder(model) ? "none" : "full";
  recipe.task = found.task;
  recipe.train.max_length = lengths.max_length;
  for (const auto& [name, rate] : kLearningRates) {
    if (method.name == name) recipe.train.learning_rate = {rate};
  }
  // Left out, they are what they would be, and a budget may choose them.
  const std::string text = recipe_template(recipe, {"method.rank", "method.targets", "method.rank_pattern"});
  progress.begin("planning");
  const Json plan = plan_of_recipe(parse_recipe(parse_yaml(text, options.path), options.path), options.path);
  write_file_atomically(options.path, text);

  const Json result = {{"recipe", options.path},
                       {"model",
                        {{"path", options.model},
                         {"family", model.architecture->model_type},
                         {"kind", is_decoder(model) ? "decoder" : "encoder"},
                         {"layers", model.config.num_hidden_layers},
                         {"hidden_size", model.config.hidden_size},
                         {"max_positions", model.config.max_length()},
                         {"chat_template", has_template}}},
                       {"data", found.data},
                       {"task", found.task},
                       {"labels", found.labels},
                       {"tokens",
                        {{"measured", lengths.measured},
                         {"shortest", lengths.shortest},
                         {"median", lengths.median},
                         {"longest", lengths.longest},
                         {"cut", lengths.cut}}},
                       {"windows", task.windows},
                       {"max_length", lengths.max_length},
                       {"metric", task.metric},
                       {"plan", plan}};
  if (common.json) {
    std::cout << json_text(result) << '\n';
  } else {
    print_findings(result, common.words.front());
  }
  return 0;
}

}  // namespace loraxs
