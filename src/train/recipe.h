// train/recipe.h: everything about a training, as plain structs filled once from a YAML file.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "adapt/basis.h"
#include "adapt/rank_allocator.h"
#include "data/task.h"
#include "model/config_keys.h"
#include "ops/row_optimizer.h"

namespace loraxs {

struct MethodRecipe {
  std::string name = "lora_xs";                  // adaptation method
  int64_t budget = 0;                            // chooses rank and targets; 0 = they are given
  int64_t rank = 16;                             // of an adapter: R is [rank, rank], a and b have rank vectors
  double alpha = 16;                             // the contribution is scaled by alpha / rank
  bool rslora = false;                           // by alpha / √rank instead
  std::vector<std::string> targets = {"paper"};  // paper, all-linear, module names, or site:NAME
  std::vector<int64_t> layers;                   // layers that get adapters; empty = all
  std::map<std::string, int64_t> rank_pattern;   // other ranks for some of the targets, named like targets
  std::string init = "default";                  // of LoRA: default | gaussian | svd
  double init_std = 1e-5;                        // standard deviation of R at the start, of a for init: svd
  double dropout = 0;                            // in training, of what an adapter reads (x before a)
  double d_initial = 0.1;                        // VeRA's d at the start
  int64_t vectors = 64;                          // TinyLoRA: numbers of v
  bool tied = false;                             // TinyLoRA: one v for all sites
  int64_t projection_seed = 42;                  // TinyLoRA: of P
  RankBudget adalora;                            // AdaLoRA: how ranks are pruned
  bool train_sites = true;                       // false: R stays at 0 and only the head learns
  int64_t gradient_examples = 0;                 // LoRA-SB: whose gradient makes basis and start; 0 = a thousandth
  BasisRecipe basis;                             // basis: {variant, vectors, sigma, seed}
};

struct TrainRecipe {
  int64_t epochs = 3;                               // passes over the training data
  int64_t max_steps = 0;                            // stop after this many optimizer steps; 0 = by epochs
  int64_t batch_size = 32;                          // sentences of one job in one optimizer step
  int64_t tokens_per_batch = 0;                     // of a micro-batch; 0: see micro_batch_tokens
  int64_t gradient_accumulation = 1;                // micro-batches of a job's step, at least
  std::vector<double> learning_rate = {1e-3};       // of R; a list makes a grid
  std::vector<double> head_learning_rate = {5e-3};  // of the head; a list makes a grid
  double weight_decay = 0.01;                       // decoupled, on R and on the head
  std::vector<double> betas = {0.9, 0.999};         // AdamW
  double eps = 1e-8;                                // AdamW
  double max_grad_norm = 1.0;                       // per job over all it trains; 0 = no clipping
  std::string schedule = "linear";                  // linear | cosine | constant
  double warmup_ratio = 0.06;                       // part of the steps with a rising learning rate
  int64_t warmup_steps = 0;                         // so many steps with one; 0 = by warmup_ratio
  int64_t eval_every = 0;                           // steps between evaluations; 0 = after each epoch
  int64_t patience = 0;                             // a job stops after so many evaluations without a better one
  std::string selection = "best_epoch";             // best_epoch | split: which examples choose epoch and setting
  double selection_fraction = 0.1;                  // of the training data, held out by selection: split
  std::string init_adapter;                         // file whose R every job starts from
  std::string init_head = "fresh";                  // fresh | carry: the head of a run from init_adapter
  int64_t max_length = 128;                         // tokens a text or pair is cut to
  std::string precision = "auto";                   // auto | float32 | bfloat16 | float64
  std::string memory = "normal";                    // normal | tight: the base's weights unpacked, or as stored
  double memory_gb = 0;                             // the process' limit, kept by recomputing layers; 0 = none
  std::vector<int64_t> seeds = {0};                 // one job per seed and setting
  double checkpoint_seconds = 30;                   // wall time between checkpoints within an epoch
  int64_t log_every = 20;                           // steps between step lines in metrics.jsonl
  bool dropout = true;                              // the model's own dropout
  nlohmann::json samples;                           // prompts that each evaluation answers; null = none
  int64_t sample_tokens = 64;                       // of such an answer, at most
};

/// A whole recipe. `head`: full | output | pooler; language models have none.
struct Recipe {
  std::string model;                       // Hugging Face folder or GGUF file
  std::vector<std::string> accept_config;  // keys of its config.json that are read as if they did not stand there
  std::string pre_tokenizer;               // instead of a GGUF file's tokenizer.ggml.pre; empty: the file's own
  MethodRecipe method;
  std::string head = "full";
  nlohmann::json task;  // section `task`, read by load_task
  TrainRecipe train;
  nlohmann::json fleet;         // section `fleet`, read by parse_fleet; null: one run
  std::string output;           // run folder
  std::string device = "auto";  // auto | cpu | cuda | cuda:1 …: see ops/device.h
  int64_t threads = 0;          // 0 = all cores
  std::filesystem::path base;   // folder that relative paths in the recipe start from: the working folder

  nlohmann::json to_json() const;  // resolved: every key with its value
  ReadingOptions reading() const { return {accept_config, pre_tokenizer}; }
};

/// Reads a recipe file and applies `--set key.sub=value` overrides (YAML values) on top. Unknown keys are errors with
/// the nearest known key; PEFT's and transformers' names get a hint.
Recipe read_recipe(const std::filesystem::path& path, const std::vector<std::string>& overrides);
Recipe parse_recipe(const nlohmann::json& json, const std::string& where);

/// The recipe as commented YAML: `init` writes it, docs/recipe.md shows it. Keys in `left_out` ("method.rank") stand
/// there without a value.
std::string recipe_template(const Recipe& recipe, const std::set<std::string>& left_out = {});

AdamWConfig adamw_config(const TrainRecipe& train);

}  // namespace loraxs
