// train/recipe_keys.h: every key of a recipe, once: name, value, what it may hold, what it means. Reading, writing and
// documentation are visitors of this list.
#pragma once
#include <string>
#include <vector>

#include "adapt/method.h"
#include "train/recipe.h"

namespace loraxs {

/// What numbers may hold; in a list, each of them.
/// Integers have at most nine digits, so that products of two hold; those of kSeed have what a seed may have.
enum class Numbers { kAny, kPositive, kNotNegative, kFraction, kSeed };
/// What a text may hold; empty = anything.
using Choices = std::vector<std::string>;

/// Visitors have open(section), close() and key(name, value, numbers or choices, meaning); lists of text, flags, maps
/// and raw JSON come as key(name, value, meaning).
template <typename Visitor>
void visit_method(MethodRecipe& m, Visitor& v) {
  v.open("method");
  v.key("name", m.name, Choices(method_names()),
        "lora_xs | lora_sb | lora | pissa | full | vera | adalora | tied_lora | tiny_lora");
  v.key("budget", m.budget, Numbers::kNotNegative,
        "numbers an adapter may have: chooses rank and targets; 0 = as given");
  v.key("rank", m.rank, Numbers::kPositive,
        "R is [rank, rank]; a and b have so many vectors; left out: 16, or by budget");
  v.key("alpha", m.alpha, Numbers::kPositive, "the adapter acts with scale alpha / rank");
  v.key("rslora", m.rslora, "scale alpha / sqrt(rank) instead (lora, pissa, tied_lora)");
  v.key("targets", m.targets,
        "paper, all-linear, module names ([query, value]), or site:NAME; left out: paper, or by budget");
  v.key("layers", m.layers, Numbers::kNotNegative, "layers that get adapters; left out: all");
  v.key("rank_pattern", m.rank_pattern, "other ranks for some targets: {query: 32}");
  v.key("init", m.init, Choices{"default", "gaussian", "svd"}, "lora: default (Kaiming, b = 0) | gaussian | svd");
  v.key("init_std", m.init_std, Numbers::kNotNegative, "standard deviation of R at the start (lora with svd: of a)");
  v.key("train_sites", m.train_sites, "false: R stays where it starts and only the head learns");
  v.key("dropout", m.dropout, Numbers::kFraction, "in training: share of x that an adapter does not see (below 1)");
  v.key("d_initial", m.d_initial, Numbers::kAny, "vera: d at the start");
  v.key("vectors", m.vectors, Numbers::kPositive, "tiny_lora: numbers of v");
  v.key("tied", m.tied, "tiny_lora: one v for all sites");
  v.key("projection_seed", m.projection_seed, Numbers::kSeed, "tiny_lora: of the fixed P");
  v.key("gradient_examples", m.gradient_examples, Numbers::kNotNegative,
        "lora_sb: training examples whose gradient it starts from; 0 = a thousandth, at least 32");
  v.open("adalora");
  v.key("target_rank", m.adalora.target_rank, Numbers::kPositive, "mean rank of a site in the end");
  v.key("initial_steps", m.adalora.initial_steps, Numbers::kNotNegative, "steps before pruning starts");
  v.key("final_steps", m.adalora.final_steps, Numbers::kNotNegative, "steps after pruning has ended");
  v.key("interval", m.adalora.interval, Numbers::kPositive, "steps between two prunings");
  v.key("beta1", m.adalora.beta1, Numbers::kFraction, "of the mean importance");
  v.key("beta2", m.adalora.beta2, Numbers::kFraction, "of the mean uncertainty");
  v.key("orthogonality", m.adalora.orthogonality, Numbers::kNotNegative, "weight of the penalty on a and b");
  v.close();
  v.open("basis");
  v.key("variant", m.basis.variant, Choices{"weight", "random", "svd_of_random", "inputs"},
        "weight | random | svd_of_random | inputs: of W weighted by what it reads of the training texts");
  v.key("vectors", m.basis.vectors, Choices{"top", "middle", "bottom"}, "top | middle | bottom singular vectors");
  v.key("sigma", m.basis.sigma, "singular values on the input side");
  v.key("seed", m.basis.seed, Numbers::kSeed, "of the random variants");
  v.close();
  v.close();
}

template <typename Visitor>
void visit_train(TrainRecipe& t, Visitor& v) {
  v.open("train");
  v.key("epochs", t.epochs, Numbers::kPositive, "passes over the training data");
  v.key("max_steps", t.max_steps, Numbers::kNotNegative, "stop after this many steps; 0 = by epochs");
  v.key("batch_size", t.batch_size, Numbers::kPositive, "sentences of one job in one optimizer step");
  v.key("tokens_per_batch", t.tokens_per_batch, Numbers::kNotNegative,
        "a step is cut into micro-batches of about so many tokens; 0 = twice a mean step, 192 to 1024");
  v.key("gradient_accumulation", t.gradient_accumulation, Numbers::kPositive,
        "micro-batches a job's step is cut into at least; 1 = by tokens_per_batch");
  v.key("learning_rate", t.learning_rate, Numbers::kNotNegative, "of R; a list makes a grid");
  v.key("head_learning_rate", t.head_learning_rate, Numbers::kNotNegative, "of the head; a list makes a grid");
  v.key("weight_decay", t.weight_decay, Numbers::kNotNegative, "decoupled, on R and head");
  v.key("betas", t.betas, Numbers::kFraction, "AdamW");
  v.key("eps", t.eps, Numbers::kPositive, "AdamW");
  v.key("max_grad_norm", t.max_grad_norm, Numbers::kNotNegative, "clipping per job; 0 = none");
  v.key("schedule", t.schedule, Choices{"linear", "cosine", "constant"}, "linear | cosine | constant");
  v.key("warmup_ratio", t.warmup_ratio, Numbers::kFraction, "part of the steps with a rising learning rate");
  v.key("warmup_steps", t.warmup_steps, Numbers::kNotNegative, "their number; 0 = by warmup_ratio");
  v.key("eval_every", t.eval_every, Numbers::kNotNegative, "steps between evaluations; 0 = after each epoch");
  v.key("patience", t.patience, Numbers::kNotNegative,
        "a job stops after so many evaluations without a better one; 0 = never");
  v.key("selection", t.selection, Choices{"best_epoch", "split"},
        "best_epoch: validation data choose epoch and setting; split: a part of the training data does");
  v.key("selection_fraction", t.selection_fraction, Numbers::kFraction, "of the training data, held out by split");
  v.key("init_adapter", t.init_adapter, Choices{}, "adapter file whose R every job starts from");
  v.key("init_head", t.init_head, Choices{"fresh", "carry"}, "the head of such a start: fresh | carry");
  v.key("max_length", t.max_length, Numbers::kPositive, "tokens a text or pair is cut to");
  v.key("precision", t.precision, Choices{"auto", "float32", "fp32", "bfloat16", "bf16", "float64"},
        "auto | float32 | bfloat16 | float64");
  v.key("memory", t.memory, Choices{"normal", "tight"},
        "normal: weights ready to multiply; tight: as their file stores them, unpacked when they are multiplied");
  v.key("memory_gb", t.memory_gb, Numbers::kNotNegative,
        "GiB of the whole process, kept by computing decoder layers again in backward; 0 = no limit");
  v.key("seeds", t.seeds, Numbers::kSeed, "one job per seed");
  v.key("checkpoint_seconds", t.checkpoint_seconds, Numbers::kNotNegative,
        "wall time between checkpoints within an epoch");
  v.key("log_every", t.log_every, Numbers::kPositive, "steps between step lines in metrics.jsonl");
  v.key("dropout", t.dropout, "the model's own dropout");
  v.key("samples", t.samples,
        "language models: prompts (texts, or lists of messages) that each evaluation answers greedily");
  v.key("sample_tokens", t.sample_tokens, Numbers::kPositive, "tokens of such an answer at most");
  v.close();
}

template <typename Visitor>
void visit_recipe(Recipe& r, Visitor& v) {
  v.key("model", r.model, Choices{}, "Hugging Face folder with config.json, model.safetensors, tokenizer.json");
  v.key("accept_config", r.accept_config, "keys of its config.json that are read as if they did not stand there");
  v.key("pre_tokenizer", r.pre_tokenizer, Choices{},
        "GGUF: how byte-level BPE cuts text (llama-bpe, qwen2, …); left out: as the file says");
  visit_method(r.method, v);
  v.key("head", r.head, Choices{"full", "output", "pooler", "none"},
        "full | output | pooler; language models have none");
  v.key("task", r.task,
        "{name: qnli, data: FOLDER}, {name: classification, train: FILE, validation: FILE or 0.2, text: …, label: …}, "
        "{name: "
        "chat, train: FILE, validation: FILE or 0.1}");
  visit_train(r.train, v);
  v.key("fleet", r.fleet,
        "many users' adapters in one process: {jobs: users.jsonl, store: FOLDER, slots: auto, tokens_per_step: 1024, "
        "validation: 0.2, on_error: continue}; left out: one run");
  v.key("output", r.output, Choices{}, "run folder");
  v.key("device", r.device, Choices{}, "auto | cpu | cuda | cuda:1; auto = cpu; loraxs doctor lists them");
  v.key("threads", r.threads, Numbers::kNotNegative, "0 = all cores");
}

}  // namespace loraxs
