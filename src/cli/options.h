// cli/options.h: options that several subcommands share, as the launcher parses them and the engine reads them.
// `add_to` is the launcher's: it gives each field its flag and help.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/cores.h"

namespace CLI {
class App;
}

namespace loraxs {

/// Of every subcommand.
struct CommonOptions {
  int64_t threads = 0;             // none given: 0, all cores that the process may use
  Cores cores;                     // those
  std::vector<std::string> words;  // the command line, the program first
  bool json = false;               // results as JSON lines
  bool quiet = false;              // no progress and no warnings on stderr: errors alone
  std::string cache;               // folder of bases and base ids; empty = $XDG_CACHE_HOME/loraxs or ~/.cache/loraxs
  // Of the models that are opened: keys of config.json read as if they did not stand there, and how a GGUF file's
  // tokenizer cuts text (empty = as the file says).
  std::vector<std::string> accept_config;
  std::string pre_tokenizer;

  void add_to(CLI::App& app, bool opens_model);
};

/// A model and an adapter on it: eval, predict, merge, export, unmerge.
struct AdapterOptions {
  std::string model;    // Hugging Face folder
  std::string adapter;  // .safetensors file
  std::string basis;    // basis file; empty = recomputed and checked by fingerprint
  std::string precision = "auto", memory = "normal";
  std::string device = "auto";  // auto, cpu, cuda, cuda:1, …
  bool accept_base = false;     // another base_id, if the fingerprint matches

  void add_to(CLI::App& app, bool required = true);
  void add_model(CLI::App& app);  // all but the adapter
};

/// A task and its data.
struct TaskOptions {
  std::string name, data;
  std::vector<std::string> set;        // further keys of the task section: label=gold
  std::string text, text_pair, label;  // columns of one's own data; empty = found by their names
  int64_t limit = 0;                   // the first so many examples to score; 0 = all

  void add_to(CLI::App& app);
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

  void add_to(CLI::App& app);  // all but `system`
  void add_system(CLI::App& app);
};

/// Beam search.
struct SearchOptions {
  int64_t beams = 1;  // 1 = no beam search
  double length_penalty = 1;
  std::string early_stopping = "false";  // false | true | never

  void add_to(CLI::App& app);
};

/// Columns of a table of one's own.
void add_columns(CLI::App& app, std::string& text, std::string& text_pair, std::string& label);

}  // namespace loraxs
