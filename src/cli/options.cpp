#include "cli/options.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"
#include "io/threads.h"

namespace loraxs {

void CommonOptions::add_to(CLI::App& app, bool opens_model) {
  app.add_option("-t,--threads", threads, "Threads (default: all cores that the process may use)")
      ->check(whole_number_between(1, kMostThreads));
  app.add_flag("--json", json, "Results as JSON lines");
  app.add_flag("-q,--quiet", quiet, "Neither progress nor warnings on stderr, errors alone");
  app.add_option("--cache", cache, "Folder for bases and base ids (default: ~/.cache/loraxs, or in XDG_CACHE_HOME)");
  if (!opens_model) return;
  app.add_option("--accept-config", accept_config,
                 "Key of config.json that is read as if it did not stand there; may be given again")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--pre-tokenizer", pre_tokenizer,
                 "How a GGUF file's byte-level BPE cuts text: llama-bpe, qwen2, tekken, … (default: as the file says)");
}

void AdapterOptions::add_to(CLI::App& app, bool required) {
  add_model(app);
  app.add_option("--adapter", adapter,
                 "Adapter: a file, one of a store (URL#tenant/name[@version]), or a sum of such: \"0.5*a.safetensors + "
                 "0.5*b.safetensors\"")
      ->required(required);
}

void AdapterOptions::add_model(CLI::App& app) {
  app.add_option("--model", model, "Hugging Face folder or GGUF file of the base model")->required();
  app.add_option("--basis", basis, "Basis file the adapter was trained with (else it is computed and checked)");
  app.add_option("--precision", precision,
                 "auto, float32, bfloat16, float64; of language models' answers and losses int8: small integers")
      ->check(CLI::IsMember({"auto", "float32", "fp32", "bfloat16", "bf16", "float64", "int8"}));
  app.add_option("--memory", memory, "normal, or tight: weights stay as stored")
      ->check(CLI::IsMember({"normal", "tight"}));
  app.add_option("--device", device, "auto, cpu, cuda, cuda:1, …; auto is cpu, doctor lists what there is");
  app.add_flag("--accept-base", accept_base, "Accept a base of another id if the basis fingerprint matches");
}

void TaskOptions::add_to(CLI::App& app) {
  app.add_option("--task", name, "qnli, classification, regression, gsm8k, math, commonsense, text, …")->required();
  app.add_option("--data", data, "Folder of the task, or the file of one's own data")->required();
  app.add_option("--set", set, "Further keys of the task: text=COLUMN")->take_all()->allow_extra_args(false);
  add_columns(app, text, text_pair, label);
  app.add_option("--limit", limit, "The first so many examples; 0 = all")->check(whole_number_between(0, kMostRows));
}

void DecodingOptions::add_to(CLI::App& app) {
  adapter.add_to(app, /*required=*/false);
  app.add_option("-c,--context", context, "Tokens of prompt and answer together; 0 = as many as the model takes")
      ->check(tokens_from(0));
  app.add_option("--memory-gb", memory_gb, "GiB the process may take: bounds the cache of keys and values")
      ->check(gibibytes());
  app.add_option("-n,--max-new-tokens", max_new_tokens,
                 max_new_tokens > 0 ? "Longest answer in tokens" : "Longest answer in tokens; 0 = as the task has it")
      ->check(tokens_from(max_new_tokens > 0 ? 1 : 0))
      ->capture_default_str();
  app.add_option("--temperature", temperature, "0 = greedy")->capture_default_str();
  app.add_option("--top-k", top_k, "Draw from the k most likely tokens; 0 = all")
      ->check(tokens_from(0))
      ->capture_default_str();
  app.add_option("--top-p", top_p, "Draw from the fewest tokens that reach this probability")->capture_default_str();
  app.add_option("--min-p", min_p, "Draw from tokens at least this likely, beside the likeliest")
      ->capture_default_str();
  app.add_option("--repetition-penalty", repetition_penalty, "Above 1: what was said is said less often")
      ->capture_default_str();
  app.add_option("--seed", seed, "Seed of the draws")->capture_default_str();
  app.add_option("--stop", stop, "Text that ends an answer; may be given again")->take_all()->allow_extra_args(false);
}

void DecodingOptions::add_system(CLI::App& app) {
  app.add_option("--system", system, "System turn of the conversation");
}

void SearchOptions::add_to(CLI::App& app) {
  app.add_option(
         "--beams", beams,
         beams > 0 ? "Beam search with so many beams" : "Beam search with so many beams; 0 = as the task has it")
      ->check(count_from(1))
      ->capture_default_str();
  app.add_option("--length-penalty", length_penalty, "Beams: an answer's score is divided by tokens to this power")
      ->capture_default_str();
  app.add_option("--early-stopping", early_stopping, "Beams: false, true or never, as transformers has it")
      ->check(CLI::IsMember({"false", "true", "never"}))
      ->capture_default_str();
}

void add_columns(CLI::App& app, std::string& text, std::string& text_pair, std::string& label) {
  app.add_option("--text", text, "Column of texts in a table (default: text, or the usual names of pairs)");
  app.add_option("--text-pair", text_pair, "Column of second texts");
  app.add_option("--label", label, "Column of labels (default: label)");
}

}  // namespace loraxs
