#include "train/recipe.h"

#include <algorithm>

#include "io/error.h"
#include "io/fields.h"
#include "io/json.h"
#include "io/threads.h"
#include "io/yaml.h"
#include "train/fleet_recipe.h"
#include "train/recipe_keys.h"

namespace loraxs {
namespace {

/// PEFT's and transformers' names of our keys: the error for one says which key to write.
struct Alias {
  const char *section, *theirs, *ours;
};
constexpr Alias kAliases[] = {
    {"", "model_name_or_path", "model"},
    {"", "output_dir", "output"},
    {"method", "r", "rank"},
    {"method", "lora_alpha", "alpha"},
    {"method", "target_modules", "targets"},
    {"method", "lora_dropout", "dropout"},
    {"method", "layers_to_transform", "layers"},
    {"train", "num_train_epochs", "epochs"},
    {"train", "per_device_train_batch_size", "batch_size"},
    {"train", "gradient_accumulation_steps", "gradient_accumulation, and batch_size is the whole step's"},
    {"train", "lr", "learning_rate"},
    {"train", "lr_scheduler_type", "schedule"},
    {"train", "adam_epsilon", "eps"},
    {"train", "seed", "seeds"},
    {"train", "max_seq_length", "max_length"},
    {"train", "bf16", "precision"},
    {"train", "fp16", "precision"},
    {"train", "logging_steps", "log_every"},
};

/// Calls `each(section, key)` for every key of the sections that have no further ones below.
template <typename Each>
class KeyNames {
 public:
  explicit KeyNames(Each each) : each_(each) {}
  void open(const char* section) { sections_.emplace_back(section); }
  void close() { sections_.pop_back(); }
  template <typename... Rest>
  void key(const char* name, const Rest&...) {
    if (sections_.size() == 1) each_(sections_.back(), std::string(name));
  }

 private:
  Each each_;
  std::vector<std::string> sections_;
};

/// Fills a recipe from Fields, section by section.
class Reader {
 public:
  explicit Reader(Fields fields) { push("", std::move(fields)); }

  void open(const char* section) { push(section, sections_.back().object(section)); }
  void close() {
    sections_.back().finish();
    sections_.pop_back();
  }

  void key(const char* name, int64_t& value, Numbers allowed, const char*) {
    constexpr int64_t kMost = 999'999'999;
    value = allowed == Numbers::kPositive      ? here().positive_int(name, value, kMost)
            : allowed == Numbers::kNotNegative ? here().non_negative_int(name, value, kMost)
                                               : here().non_negative_int(name, value);
  }
  void key(const char* name, uint64_t& value, Numbers, const char*) {
    value = static_cast<uint64_t>(here().non_negative_int(name, static_cast<int64_t>(value)));
  }
  void key(const char* name, double& value, Numbers allowed, const char*) {
    value = allowed == Numbers::kPositive      ? here().positive_number(name, value)
            : allowed == Numbers::kNotNegative ? here().non_negative_number(name, value)
            : allowed == Numbers::kFraction    ? here().fraction(name, value)
                                               : here().number(name, value);
  }
  void key(const char* name, std::vector<double>& values, Numbers allowed, const char*) {
    values = here().numbers(name, values);
    check(name, values, allowed);
  }
  void key(const char* name, std::vector<int64_t>& values, Numbers allowed, const char*) {
    values = here().integers(name, values);
    check(name, values, allowed);
  }
  void key(const char* name, std::string& value, const Choices& choices, const char*) {
    value = choices.empty() ? here().text(name, value) : here().choice(name, value, choices);
  }
  void key(const char* name, std::vector<std::string>& values, const char*) { values = here().strings(name, values); }
  void key(const char* name, std::map<std::string, int64_t>& values, const char*) { values = here().counts(name); }
  void key(const char* name, bool& value, const char*) { value = here().boolean(name, value); }
  void key(const char* name, nlohmann::json& value, const char*) { value = here().raw(name); }

  Fields& here() { return sections_.back(); }

 private:
  void push(const std::string& section, Fields fields) {
    for (const Alias& alias : kAliases) {
      if (section == alias.section) fields.alias(alias.theirs, alias.ours);
    }
    Recipe any;  // a key in the wrong section: `epochs` beside train
    KeyNames names([&](const std::string& other, const std::string& name) {
      if (section != other) fields.alias(name, other + "." + name);
    });
    visit_recipe(any, names);
    sections_.push_back(std::move(fields));
  }

  template <typename T>
  void check(const char* name, const std::vector<T>& values, Numbers allowed) {
    for (const T value : values) {
      const bool low = allowed != Numbers::kAny && !(allowed == Numbers::kPositive ? value > 0 : value >= 0);
      if (!low && !(allowed == Numbers::kFraction && value > 1)) continue;
      here().fail(name, concat("expected numbers ",
                               allowed == Numbers::kPositive   ? "> 0"
                               : allowed == Numbers::kFraction ? "from 0 to 1"
                                                               : "≥ 0",
                               ", found ", value));
    }
  }

  std::vector<Fields> sections_;
};

/// Of a recipe's keys, those of one job.
class OwnKeys {
 public:
  OwnKeys(Reader& reader, const std::set<std::string>& own) : reader_(reader), own_(own) {}
  void open(const char*) {}
  void close() {}
  template <typename T, typename... Rest>
  void key(const char* name, T& value, const Rest&... rest) {
    if (own_.contains(name)) reader_.key(name, value, rest...);
  }

 private:
  Reader& reader_;
  const std::set<std::string>& own_;
};

/// Puts `value` at the dotted path, making objects on the way.
void set_path(nlohmann::json& root, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(concat("--set ", assignment, ": expected key.sub=value"));
  }
  nlohmann::json* at = &root;
  std::string path = assignment.substr(0, equals);
  while (true) {
    if (at->is_null()) *at = nlohmann::json::object();
    if (!at->is_object())
      throw Error(concat("--set ", assignment, ": ", path, " lies inside a value that is no object"));
    const size_t dot = path.find('.');
    at = &(*at)[path.substr(0, dot)];
    if (dot == std::string::npos) break;
    path = path.substr(dot + 1);
  }
  *at = parse_yaml(assignment.substr(equals + 1), concat("--set ", assignment));
}

/// A budget chooses rank and targets: both cannot be given.
void refuse_contradicted_budget(const nlohmann::json& json, const Recipe& recipe, const std::string& where) {
  if (recipe.method.budget == 0) return;
  for (const char* key : {"rank", "targets", "rank_pattern"}) {
    if (!json.at("method").contains(key) || json.at("method").at(key).is_null()) continue;  // null: no choice
    throw Error(concat(where, ": method.budget: chooses rank and targets itself, found method.", key,
                       " too; leave one of the two out"));
  }
}

/// Every method has its own keys: `rank` of full fine-tuning is somebody's mistake. The default may stand there, as it
/// does in the resolved recipe of a run.
void refuse_foreign_keys(const nlohmann::json& json, const Recipe& recipe, const std::string& where) {
  const std::vector<std::string> common = {"name", "targets", "layers", "train_sites"};
  if (!json.contains("method")) return;
  const nlohmann::json defaults = Recipe{}.to_json().at("method"), given = recipe.to_json().at("method");
  const auto has = [](const std::vector<std::string>& keys, const std::string& key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  };
  for (const auto& [key, value] : json.at("method").items()) {
    if (has(common, key) || has(find_method(recipe.method.name, where).keys, key)) continue;
    if (value.is_null() || given.at(key) == defaults.at(key)) continue;
    std::string owners;
    for (const std::string& name : method_names()) {
      if (has(find_method(name, where).keys, key)) owners += (owners.empty() ? "" : ", ") + name;
    }
    throw Error(concat(where, ": method.", key, ": expected no such key for ", recipe.method.name, ", found ",
                       json_text(value), "; it belongs to ", owners));
  }
}

}  // namespace

TrainRecipe parse_job_train(Fields& job, const TrainRecipe& train) {
  static const std::set<std::string> kOwn = {
      "batch_size",         "epochs",        "eval_every",    "gradient_accumulation",
      "head_learning_rate", "learning_rate", "max_grad_norm", "max_length",
      "max_steps",          "patience",      "schedule",      "tokens_per_batch",
      "warmup_ratio",       "warmup_steps",  "weight_decay"};
  static const std::set<std::string> kLine = {"name", "seed", "start",
                                              "init_head"};  // of a line, whatever a recipe means by them
  Recipe any;
  KeyNames refuse([&](const std::string& section, const std::string& key) {
    if (!job.has(key) || kLine.contains(key) || (section == "train" && kOwn.contains(key))) return;
    job.fail(key, concat("expected the same for all jobs, which are rows of one bank on one base, found ",
                         shortened(json_text(*job.peek(key)), 40), "; say it in the recipe",
                         section.empty() ? "" : concat(", as ", section, ".", key)));
  });
  visit_recipe(any, refuse);
  TrainRecipe own = train;
  Reader reader(std::move(job));
  OwnKeys keys(reader, kOwn);
  visit_train(own, keys);
  job = std::move(reader.here());
  for (const auto& [key, rates] :
       {std::pair{"learning_rate", &own.learning_rate}, {"head_learning_rate", &own.head_learning_rate}}) {
    if (rates->size() != 1) job.fail(key, concat("expected one number, found ", rates->size()));
  }
  own.seeds = {job.non_negative_int("seed", train.seeds.front())};
  return own;
}

Recipe parse_recipe(const nlohmann::json& json, const std::string& where) {
  Recipe recipe;
  Reader reader(Fields(json, where));
  visit_recipe(recipe, reader);
  reader.here().finish();
  const auto fail = [&](const char* key, const std::string& message) {
    throw Error(concat(where, ": ", key, ": expected ", message));
  };
  if (recipe.model.empty()) fail("model", "a Hugging Face model folder, found none");
  if (!recipe.task.is_object()) fail("task", "{name: …, data: …}, found none");
  if (recipe.output.empty()) fail("output", "a folder for the run, found none");
  if (recipe.output.find("://") != std::string::npos) {
    fail("output", concat("a folder for the run, found the URL ", shortened(recipe.output, 100),
                          "; loraxs store put brings its adapters into a store"));
  }
  if (recipe.threads > kMostThreads) fail("threads", concat("at most ", kMostThreads, ", found ", recipe.threads));
  constexpr double kMostGiB = 1e6;  // bytes fit an integer
  if (recipe.train.memory_gb > kMostGiB) {
    fail("train.memory_gb", concat("at most ", static_cast<int64_t>(kMostGiB), ", found ", recipe.train.memory_gb));
  }
  constexpr size_t kMostJobs = 100'000;
  const size_t settings = recipe.train.learning_rate.size() * recipe.train.head_learning_rate.size();
  if (settings > kMostJobs || settings * recipe.train.seeds.size() > kMostJobs) {
    fail("train", concat("at most ", kMostJobs, " jobs of its learning rates and seeds, found more"));
  }
  const std::vector<double>& betas = recipe.train.betas;
  if (betas.size() != 2 || betas[0] == 1 || betas[1] == 1) fail("train.betas", "two numbers from 0 to below 1");
  if (recipe.train.selection == "split" &&
      !(recipe.train.selection_fraction > 0 && recipe.train.selection_fraction < 1)) {
    fail("train.selection_fraction", "a number between 0 and 1 for selection: split");
  }
  if (recipe.method.dropout == 1) fail("method.dropout", "a number from 0 to below 1");
  if (recipe.train.init_head == "carry" && recipe.train.init_adapter.empty()) {
    fail("train.init_adapter", "a file for init_head: carry, found none");
  }
  refuse_contradicted_budget(json, recipe, where);
  refuse_foreign_keys(json, recipe, where);
  if (recipe.method.name == "adalora" && recipe.method.budget == 0 &&
      recipe.method.adalora.target_rank > recipe.method.rank) {
    fail("method.adalora.target_rank", "at most method.rank");
  }
  if (recipe.train.memory == "tight" && find_method(recipe.method.name, where).traits.residual) {
    fail("train.memory",
         concat("normal for ", recipe.method.name, ", which takes a part off the base's weights, found tight"));
  }
  if (recipe.method.basis.variant == "inputs") {
    const MethodTraits& traits = find_method(recipe.method.name, where).traits;
    if (!traits.reads_basis || traits.basis != nullptr || traits.residual) {
      fail("method.basis.variant",
           concat("weight, random or svd_of_random for ", recipe.method.name, ", found inputs"));
    }
    if (recipe.method.basis.vectors != "top") {
      fail("method.basis.vectors", concat("top for variant inputs, found ", recipe.method.basis.vectors));
    }
  }
  recipe.method.basis.rank = recipe.method.rank;
  return recipe;
}

Recipe read_recipe(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  nlohmann::json json = read_yaml(path);
  for (const std::string& assignment : overrides) set_path(json, assignment);
  return parse_recipe(json, path.string());
}

AdamWConfig adamw_config(const TrainRecipe& train) {
  return {.beta1 = train.betas[0],
          .beta2 = train.betas[1],
          .eps = train.eps,
          .weight_decay = train.weight_decay,
          .max_grad_norm = train.max_grad_norm};
}

}  // namespace loraxs
