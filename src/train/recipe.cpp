#include "train/recipe.h"

#include "adapt/method.h"
#include "io/error.h"
#include "io/fields.h"

namespace loraxs {
namespace {

MethodRecipe parse_method(Fields fields) {
  MethodRecipe m;
  fields.alias("r", "rank");
  fields.alias("lora_alpha", "alpha");
  fields.alias("target_modules", "targets");
  fields.alias("layers_to_transform", "layers");
  m.name = fields.choice("name", m.name, method_names());
  m.rank = fields.positive_int("rank", m.rank);
  m.alpha = fields.positive_number("alpha", m.alpha);
  m.targets = fields.strings("targets", m.targets);
  m.layers = fields.integers("layers", m.layers);
  m.rank_pattern = fields.counts("rank_pattern");
  m.init_std = fields.non_negative_number("init_std", m.init_std);
  m.train_sites = fields.boolean("train_sites", m.train_sites);
  Fields basis = fields.object("basis");
  m.basis.rank = m.rank;
  m.basis.variant = basis.choice("variant", m.basis.variant, {"weight", "random", "svd_of_random"});
  m.basis.vectors = basis.choice("vectors", m.basis.vectors, {"top", "middle", "bottom"});
  m.basis.sigma = basis.boolean("sigma", m.basis.sigma);
  m.basis.seed = static_cast<uint64_t>(basis.non_negative_int("seed", 0));
  basis.finish();
  fields.finish();
  return m;
}

TrainRecipe parse_train(Fields fields) {
  TrainRecipe t;
  for (const auto& [theirs, ours] :
       std::vector<std::pair<const char*, const char*>>{{"num_train_epochs", "epochs"},
                                                        {"per_device_train_batch_size", "batch_size"},
                                                        {"lr", "learning_rate"},
                                                        {"lr_scheduler_type", "schedule"},
                                                        {"adam_epsilon", "eps"},
                                                        {"seed", "seeds"},
                                                        {"max_seq_length", "max_length"},
                                                        {"bf16", "precision"},
                                                        {"fp16", "precision"},
                                                        {"logging_steps", "log_every"},
                                                        {"warmup_steps", "warmup_ratio"}}) {
    fields.alias(theirs, ours);
  }
  t.epochs = fields.positive_int("epochs", t.epochs);
  t.max_steps = fields.non_negative_int("max_steps", t.max_steps);
  t.batch_size = fields.positive_int("batch_size", t.batch_size);
  t.learning_rate = fields.numbers("learning_rate", t.learning_rate);
  t.head_learning_rate = fields.numbers("head_learning_rate", t.head_learning_rate);
  for (const double rate : t.learning_rate) {
    if (!(rate >= 0)) fields.fail("learning_rate", concat("expected numbers ≥ 0, found ", rate));
  }
  for (const double rate : t.head_learning_rate) {
    if (!(rate >= 0)) fields.fail("head_learning_rate", concat("expected numbers ≥ 0, found ", rate));
  }
  t.weight_decay = fields.non_negative_number("weight_decay", t.weight_decay);
  t.betas = fields.numbers("betas", t.betas);
  if (t.betas.size() != 2 || !(t.betas[0] >= 0 && t.betas[0] < 1 && t.betas[1] >= 0 && t.betas[1] < 1)) {
    fields.fail("betas", "expected two numbers from 0 to below 1");
  }
  t.eps = fields.positive_number("eps", t.eps);
  t.max_grad_norm = fields.non_negative_number("max_grad_norm", t.max_grad_norm);
  t.schedule = fields.choice("schedule", t.schedule, {"linear", "cosine", "constant"});
  t.warmup_ratio = fields.fraction("warmup_ratio", t.warmup_ratio);
  t.max_length = fields.positive_int("max_length", t.max_length);
  t.precision = fields.choice("precision", t.precision, {"auto", "float32", "fp32", "bfloat16", "bf16", "float64"});
  t.seeds = fields.integers("seeds", t.seeds);
  for (const int64_t seed : t.seeds) {
    if (seed < 0) fields.fail("seeds", concat("expected integers ≥ 0, found ", seed));
  }
  t.checkpoint_seconds = fields.non_negative_number("checkpoint_seconds", t.checkpoint_seconds);
  t.log_every = fields.positive_int("log_every", t.log_every);
  t.dropout = fields.boolean("dropout", t.dropout);
  fields.finish();
  return t;
}

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

}  // namespace

Recipe parse_recipe(const nlohmann::json& json, const std::string& where) {
  Fields fields(json, where);
  fields.alias("model_name_or_path", "model");
  fields.alias("output_dir", "output");
  Recipe recipe;
  recipe.model = fields.text("model", "");
  if (recipe.model.empty()) fields.fail("model", "expected a Hugging Face model folder, found none");
  recipe.method = parse_method(fields.object("method"));
  recipe.head = fields.choice("head", recipe.head, {"full", "output", "pooler"});
  recipe.task = fields.raw("task");
  if (!recipe.task.is_object()) fields.fail("task", "expected {name: …, data: …}, found none");
  recipe.train = parse_train(fields.object("train"));
  recipe.output = fields.text("output", "");
  if (recipe.output.empty()) fields.fail("output", "expected a folder for the run, found none");
  recipe.device = fields.choice("device", recipe.device, {"auto", "cpu"});
  recipe.threads = fields.non_negative_int("threads", recipe.threads);
  fields.finish();
  return recipe;
}

Recipe read_recipe(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  nlohmann::json json = read_yaml(path);
  for (const std::string& assignment : overrides) set_path(json, assignment);
  return parse_recipe(json, path.string());
}

nlohmann::json Recipe::to_json() const {
  return {{"model", model},
          {"method",
           {{"name", method.name},
            {"rank", method.rank},
            {"alpha", method.alpha},
            {"targets", method.targets},
            {"layers", method.layers},
            {"rank_pattern", method.rank_pattern},
            {"init_std", method.init_std},
            {"train_sites", method.train_sites},
            {"basis",
             {{"variant", method.basis.variant},
              {"vectors", method.basis.vectors},
              {"sigma", method.basis.sigma},
              {"seed", method.basis.seed}}}}},
          {"head", head},
          {"task", task},
          {"train",
           {{"epochs", train.epochs},
            {"max_steps", train.max_steps},
            {"batch_size", train.batch_size},
            {"learning_rate", train.learning_rate},
            {"head_learning_rate", train.head_learning_rate},
            {"weight_decay", train.weight_decay},
            {"betas", train.betas},
            {"eps", train.eps},
            {"max_grad_norm", train.max_grad_norm},
            {"schedule", train.schedule},
            {"warmup_ratio", train.warmup_ratio},
            {"max_length", train.max_length},
            {"precision", train.precision},
            {"seeds", train.seeds},
            {"checkpoint_seconds", train.checkpoint_seconds},
            {"log_every", train.log_every},
            {"dropout", train.dropout}}},
          {"output", output},
          {"device", device},
          {"threads", threads}};
}

AdamWConfig adamw_config(const TrainRecipe& train) {
  return {.beta1 = train.betas[0],
          .beta2 = train.betas[1],
          .eps = train.eps,
          .weight_decay = train.weight_decay,
          .max_grad_norm = train.max_grad_norm};
}

namespace {

struct KeyDoc {
  const char* path;     // dotted key
  const char* meaning;  // one line
};

// In the order of the file; values come from the struct's defaults, so a key cannot be documented with another one.
constexpr KeyDoc kKeyDocs[] = {
    {"model", "Hugging Face folder with config.json, model.safetensors, tokenizer.json"},
    {"method.name", "adaptation method: lora_xs"},
    {"method.rank", "R is [rank, rank]"},
    {"method.alpha", "R acts with scale alpha / rank"},
    {"method.targets", "paper, all-linear, module names ([query, value]), or site:NAME"},
    {"method.layers", "layers that get adapters; empty = all"},
    {"method.rank_pattern", "other ranks for some targets: {query: 32}"},
    {"method.init_std", "standard deviation of R at the start"},
    {"method.train_sites", "false: R stays where it starts and only the head learns"},
    {"method.basis.variant", "weight | random | svd_of_random"},
    {"method.basis.vectors", "top | middle | bottom singular vectors"},
    {"method.basis.sigma", "singular values on the input side"},
    {"method.basis.seed", "of the random variants"},
    {"head", "full | output | pooler"},
    {"task",
     "{name: qnli, data: FOLDER} or {name: classification, train: FILE, validation: FILE or 0.2, text: …, label: …}"},
    {"train.epochs", "passes over the training data"},
    {"train.max_steps", "stop after this many steps; 0 = by epochs"},
    {"train.batch_size", "sentences in one step"},
    {"train.learning_rate", "of R; a list makes a grid"},
    {"train.head_learning_rate", "of the head; a list makes a grid"},
    {"train.weight_decay", "decoupled, on R and head"},
    {"train.betas", "AdamW"},
    {"train.eps", "AdamW"},
    {"train.max_grad_norm", "clipping per job; 0 = none"},
    {"train.schedule", "linear | cosine | constant"},
    {"train.warmup_ratio", "part of the steps with a rising learning rate"},
    {"train.max_length", "tokens a text or pair is cut to"},
    {"train.precision", "auto | float32 | bfloat16 | float64"},
    {"train.seeds", "one job per seed"},
    {"train.checkpoint_seconds", "wall time between checkpoints within an epoch"},
    {"train.log_every", "steps between step lines in metrics.jsonl"},
    {"train.dropout", "the model's own dropout"},
    {"output", "run folder"},
    {"device", "auto | cpu"},
    {"threads", "0 = all cores"},
};

}  // namespace

std::string recipe_template(const Recipe& recipe) {
  const nlohmann::json values = recipe.to_json();
  std::string text;
  std::vector<std::string> open;
  for (const KeyDoc& doc : kKeyDocs) {
    std::vector<std::string> parts;
    std::istringstream stream(doc.path);
    for (std::string part; std::getline(stream, part, '.');) parts.push_back(part);
    size_t common = 0;
    while (common < open.size() && common + 1 < parts.size() && open[common] == parts[common]) ++common;
    open.resize(common);
    nlohmann::json value = values;
    for (const std::string& part : parts) value = value.at(part);
    while (open.size() + 1 < parts.size()) {
      text += std::string(2 * open.size(), ' ') + parts[open.size()] + ":\n";
      open.push_back(parts[open.size()]);
    }
    std::string line = std::string(2 * open.size(), ' ') + parts.back() + ": " +
                       (value.is_string() ? value.get<std::string>() : value.dump());
    constexpr size_t kCommentColumn = 44;
    if (line.size() < kCommentColumn) line.resize(kCommentColumn, ' ');
    text += line + " # " + doc.meaning + "\n";
  }
  return text;
}

}  // namespace loraxs
