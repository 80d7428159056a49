// cli/options.h: the options of every subcommand, as the launcher parses them and the engine reads them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cli/cores.h"

namespace loraxs {

struct CommonOptions {
  int64_t threads = 0;             // 0 = all cores that the process may use
  Cores cores;                     // those
  std::vector<std::string> words;  // the command line, the program first
  bool json = false;               // results as JSON lines
  bool quiet = false;              // no progress and no warnings on stderr: errors alone
  std::string cache;               // folder of bases and base ids; empty = $XDG_CACHE_HOME/loraxs or ~/.cache/loraxs
  // Of the models that are opened: keys of config.json read as if they did not stand there, and how a GGUF file's
  // tokenizer cuts text (empty = as the file says).
  std::vector<std::string> accept_config;
  std::string pre_tokenizer;
};

/// A model and an adapter on it: eval, predict, merge, export, unmerge.
struct AdapterOptions {
  std::string model;    // Hugging Face folder
  std::string adapter;  // .safetensors file
  std::string basis;    // basis file; empty = recomputed and checked by fingerprint
  std::string precision = "auto", memory = "normal";
  std::string device = "auto";  // auto, cpu, cuda, cuda:1, …
  bool accept_base = false;     // another base_id, if the fingerprint matches
};

struct InitOptions {
  std::string path = "recipe.yaml";  // file to write
  std::string model = "models/minilm";
  std::string task;                    // empty = by the data; without data qnli, for an encoder
  std::string train, validation;       // one's own files; empty = none
  std::string data;                    // folder of a known task; empty = none
  std::string text, text_pair, label;  // columns of `train`; empty = by their names
  std::string method = "lora_xs";
};
struct ShowOptions {
  std::string path;  // adapter, basis, safetensors or GGUF file, checkpoint or run folder
};
struct BasisOptions {
  std::string model;
  int64_t rank = 16;
  std::vector<std::string> targets = {"paper"};
  std::string variant = "weight", vectors = "top";
  bool no_sigma = false;
  uint64_t seed = 0;
  std::string out;  // file to write; empty = the cache
};
struct TrainOptions {
  std::string recipe;
  std::vector<std::string> set;                  // key.sub=value
  std::optional<std::string> memory, memory_gb;  // train.memory, train.memory_gb
  bool resume = false, allow_drift = false, dry_run = false;
  std::string beside;  // run folder whose curves report.html shows too
};
/// A task and its data.
struct TaskOptions {
  std::string name, data;
  std::vector<std::string> set;        // further keys of the task section: label=gold
  std::string text, text_pair, label;  // columns of one's own data; empty = found by their names
  int64_t limit = 0;                   // the first so many examples to score; 0 = all
};
struct PredictOptions {
  AdapterOptions adapter;
  std::string input;                   // file; empty = standard input
  std::string text, text_pair, label;  // columns of a table; empty = found by their names
};
struct CombineOptions {
  std::string expression, out, head = "auto", model;
};
struct MergeOptions {
  AdapterOptions adapter;
  std::string out, dtype;  // dtype: empty = as the base
};
struct ConvertOptions {
  std::string model, out, dtype;  // dtype: empty = as stored
};
struct UnmergeOptions {
  AdapterOptions adapter;  // model = the kept base, unless subtract
  std::string merged, out;
  bool subtract = false;  // subtract ΔW from the merged weights
};
struct ExportOptions {
  AdapterOptions adapter;
  std::string format = "peft", out;
  std::string dtype;  // of the row, with format loraxs; empty = float32
};
struct ImportOptions {
  std::string model, from, folder, out, basis;
  int64_t rank = 0;         // 0 = as it is
  double threshold = 0.01;  // largest relative residual of a projection
  std::vector<std::string> labels;
};
struct SweepOptions {
  AdapterOptions adapter;  // of which model, basis and precision count
  TaskOptions task;
  std::string from, to;
  double begin = 0, end = 1;
  int64_t points = 11;
  std::string report;  // page to write; empty = none
};
struct NearestOptions {
  AdapterOptions adapter;
  std::string folder;
  int64_t top = 10;
};
struct StudyOptions {
  std::string question;                  // energy, all, or a study's name
  std::vector<std::string> recipes;      // empty = those of the study
  std::string folder = "runs/studies";   // of runs and results
  bool quick = false, estimate = false, trained = false;  // two steps of each run; the time alone
  // Of energy:
  AdapterOptions adapter;  // the adapter may be left out
  TaskOptions task;
  int64_t rank = 16, examples = 128, max_length = 128;
  uint64_t seed = 0;                // of the random subspaces and a fresh head
  std::string format = "markdown";  // markdown | csv
  std::string report;               // page to write; empty = none
};
struct ParamsOptions {
  std::string model;  // folder, config.json or GGUF file
  std::vector<int64_t> ranks = {4, 8, 12, 16, 20, 25};
  std::vector<std::string> targets = {"paper"};
  int64_t labels = 2;       // outputs of the classification head
  int64_t vera_rank = 256;  // of VeRA's shared pair
  bool list = false;        // sites, not counts
};
struct TableOptions {
  std::vector<std::string> runs;    // folders of finished runs
  std::string format = "markdown";  // markdown | csv | json
  bool by_run = false;              // a row per run, with its folder
};
/// What generate and chat draw from, and how.
struct DecodingOptions {
  AdapterOptions adapter;  // the adapter may be left out
  int64_t context = 0;     // tokens of prompt and answer; 0 = the model's own limit
  double memory_gb = 0;    // GiB of the process that bound the cache of keys and values; 0 = 4 GiB for the cache
  int64_t max_new_tokens = 256;
  double temperature = 0, top_p = 1, min_p = 0, repetition_penalty = 1;
  int64_t top_k = 0;
  uint64_t seed = 0;
  std::vector<std::string> stop;
  std::string system;  // chat template: the system turn
};
struct SearchOptions {
  int64_t beams = 1;  // 1 = no beam search
  double length_penalty = 1;
  std::string early_stopping = "false";  // false | true | never
};
struct EvalOptions {
  DecodingOptions text;                 // the adapter may be left out for a language model; new tokens: 0 = as the task
  SearchOptions search = {.beams = 0};  // 0 = as the task
  TaskOptions task;
  // Language models alone:
  std::string by = "auto";            // generation | choices | loss; auto = generation where the task has a grader
  std::string prompt = "paper";       // paper | training: the prompt that a generation answers
  std::string answers;                // file of JSON lines, in which a broken run goes on; empty = none
  int64_t batch = 16;                 // prompts computed together
  int64_t window = 1024, stride = 0;  // plain text: tokens; stride 0 = window
};
struct GenerateOptions {
  DecodingOptions text;
  std::optional<std::string> prompt;
  std::string input;        // JSON lines; one of the two is given
  bool chat = false;        // a prompt is a user's turn of the model's chat template
  bool ignore_eos = false;  // end-of-text tokens do not end an answer
  int64_t logprobs = -1;    // so many likely tokens beside each token; -1 = no log-probabilities
  SearchOptions search;
  int64_t samples = 1;  // answers per prompt
  int64_t batch = 16;   // prompts computed together
};
struct ConversationOptions {
  DecodingOptions text;
};
struct CacheOptions {
  std::string action;  // list | clear
};
struct DoctorOptions {};

struct Command {
  CommonOptions common;
  std::variant<InitOptions, ShowOptions, BasisOptions, TrainOptions, EvalOptions, PredictOptions, CombineOptions,
               MergeOptions, UnmergeOptions, ConvertOptions, ExportOptions, ImportOptions, SweepOptions, NearestOptions,
               StudyOptions, ParamsOptions, TableOptions, GenerateOptions, ConversationOptions, CacheOptions,
               DoctorOptions>
      options;
};

}  // namespace loraxs
