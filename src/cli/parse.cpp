#include "cli/parse.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/examples.h"
#include "io/fields.h"

namespace loraxs {
namespace {

void add_model(CLI::App* app, AdapterOptions& o) {
  app->add_option("--model", o.model, "Hugging Face folder or GGUF file of the base model")->required();
  app->add_option("--basis", o.basis, "Basis file the adapter was trained with (else it is computed and checked)");
  app->add_option("--precision", o.precision, "auto, float32, bfloat16 or float64")
      ->check(CLI::IsMember({"auto", "float32", "fp32", "bfloat16", "bf16", "float64"}));
  app->add_option("--memory", o.memory, "normal, or tight: weights stay as stored")
      ->check(CLI::IsMember({"normal", "tight"}));
  app->add_option("--device", o.device, "auto, cpu, cuda, cuda:1, …; auto is cpu, doctor lists what there is");
  app->add_flag("--accept-base", o.accept_base, "Accept a base of another id if the basis fingerprint matches");
}

void add_adapter(CLI::App* app, AdapterOptions& o, bool required = true) {
  add_model(app, o);
  app->add_option("--adapter", o.adapter, "Adapter file, or a sum: \"0.5*a.safetensors + 0.5*b.safetensors\"")
      ->required(required);
}

void add_columns(CLI::App* app, std::string& text, std::string& text_pair, std::string& label) {
  app->add_option("--text", text, "Column of texts in a table (default: text, or the usual names of pairs)");
  app->add_option("--text-pair", text_pair, "Column of second texts");
  app->add_option("--label", label, "Column of labels (default: label)");
}

void add_task(CLI::App* app, TaskOptions& o) {
  app->add_option("--task", o.name, "qnli, classification, regression, gsm8k, math, commonsense, text, …")->required();
  app->add_option("--data", o.data, "Folder of the task, or the file of one's own data")->required();
  app->add_option("--set", o.set, "Further keys of the task: text=COLUMN")->take_all()->allow_extra_args(false);
  add_columns(app, o.text, o.text_pair, o.label);
  app->add_option("--limit", o.limit, "The first so many examples; 0 = all")->check(CLI::NonNegativeNumber);
}

void add_decoding(CLI::App* app, DecodingOptions& o) {
  add_adapter(app, o.adapter, /*required=*/false);
  app->add_option("-c,--context", o.context, "Tokens of prompt and answer together; 0 = as many as the model takes")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--memory-gb", o.memory_gb, "GiB the process may take: bounds the cache of keys and values")
      ->check(CLI::NonNegativeNumber);
  app->add_option(
         "-n,--max-new-tokens", o.max_new_tokens,
         o.max_new_tokens > 0 ? "Longest answer in tokens" : "Longest answer in tokens; 0 = as the task has it")
      ->capture_default_str();
  app->add_option("--temperature", o.temperature, "0 = greedy")->capture_default_str();
  app->add_option("--top-k", o.top_k, "Draw from the k most likely tokens; 0 = all")->capture_default_str();
  app->add_option("--top-p", o.top_p, "Draw from the fewest tokens that reach this probability")->capture_default_str();
  app->add_option("--min-p", o.min_p, "Draw from tokens at least this likely, beside the likeliest")
      ->capture_default_str();
  app->add_option("--repetition-penalty", o.repetition_penalty, "Above 1: what was said is said less often")
      ->capture_default_str();
  app->add_option("--seed", o.seed, "Seed of the draws")->capture_default_str();
  app->add_option("--stop", o.stop, "Text that ends an answer; may be given again")
      ->take_all()
      ->allow_extra_args(false);
}

void add_text(CLI::App* app, DecodingOptions& o) {
  add_decoding(app, o);
  app->add_option("--system", o.system, "System turn of the conversation");
}

void add_search(CLI::App* app, SearchOptions& o) {
  app->add_option(
         "--beams", o.beams,
         o.beams > 0 ? "Beam search with so many beams" : "Beam search with so many beams; 0 = as the task has it")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app->add_option("--length-penalty", o.length_penalty, "Beams: an answer's score is divided by tokens to this power")
      ->capture_default_str();
  app->add_option("--early-stopping", o.early_stopping, "Beams: false, true or never, as transformers has it")
      ->check(CLI::IsMember({"false", "true", "never"}))
      ->capture_default_str();
}

void add_common(CLI::App* app, CommonOptions& o) {
  app->add_option("-t,--threads", o.threads, "Threads; 0 = all cores")->check(CLI::NonNegativeNumber);
  app->add_flag("--json", o.json, "Results as JSON lines");
  app->add_flag("-q,--quiet", o.quiet, "Neither progress nor warnings on stderr, errors alone");
  app->add_option("--cache", o.cache, "Folder for bases and base ids (default: ~/.cache/loraxs, or in XDG_CACHE_HOME)");
  if (app->get_name() == "table" || app->get_name() == "doctor") return;  // they open no model
  app->add_option("--accept-config", o.accept_config,
                  "Key of config.json that is read as if it did not stand there; may be given again")
      ->take_all()
      ->allow_extra_args(false);
  app->add_option(
      "--pre-tokenizer", o.pre_tokenizer,
      "How a GGUF file's byte-level BPE cuts text: llama-bpe, qwen2, tekken, … (default: as the file says)");
}

void add_eval(CLI::App* app, EvalOptions& o) {
  o.text.max_new_tokens = 0;
  add_decoding(app, o.text);
  add_search(app, o.search);
  add_task(app, o.task);
  app->add_option("--by", o.by, "Language models: generation, choices, loss; auto = generation if the task is graded")
      ->check(CLI::IsMember({"auto", "generation", "choices", "loss"}));
  app->add_option("--prompt", o.prompt, "The prompt of the paper's evaluation, or that of its training")
      ->check(CLI::IsMember({"paper", "training"}))
      ->capture_default_str();
  app->add_option("--answers", o.answers,
                  "Language models: file of all answers, JSON lines; a broken run goes on where it was");
  app->add_option("--batch", o.batch, "Prompts computed together")->check(CLI::PositiveNumber)->capture_default_str();
  app->add_option("--window", o.window, "Plain text: tokens of a window")->check(CLI::Range(2, 1 << 20));
  app->add_option("--stride", o.stride, "Plain text: a window begins every so many tokens; 0 = window")
      ->check(CLI::NonNegativeNumber);
}

/// One sentence for a usage error, with the nearest known subcommand or option.
std::string usage_error(const CLI::App& app, const std::string& message, int argc, const char* const* argv) {
  std::vector<std::string> commands, flags;
  for (const CLI::App* sub : app.get_subcommands({})) commands.push_back(sub->get_name());
  const CLI::App* chosen = &app;
  if (argc > 1) {
    for (const CLI::App* sub : app.get_subcommands({})) {
      if (sub->get_name() == argv[1]) chosen = sub;
    }
  }
  for (const CLI::Option* option : chosen->get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  std::string hint;
  if (chosen == &app && argc > 1 && argv[1][0] != '-') {
    if (const auto near = nearest_name(argv[1], commands)) hint = "; did you mean " + *near + "?";
    return std::string(argv[1]) + ": unknown command" + (hint.empty() ? "; see loraxs --help" : hint);
  }
  for (int i = 1; i < argc; ++i) {
    const std::string word = std::string(argv[i]).substr(0, std::string(argv[i]).find('='));
    if (!word.starts_with("--") || std::find(flags.begin(), flags.end(), word) != flags.end()) continue;
    if (const auto near = nearest_name(word, flags)) hint = "; did you mean " + *near + "?";
  }
  return message + hint;
}

}  // namespace

Parsed parse_command_line(int argc, const char* const* argv) {
  CLI::App app{"loraxs: personal models at scale. Train, store, merge and export LoRA-XS adapters of a few kilobytes."};
  app.set_version_flag("--version", "loraxs 0.1.0");
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of every command");
  Command command;
  CommonOptions& common = command.common;

  InitOptions init;
  auto* init_app = app.add_subcommand("init", "Write a commented recipe for a model and your data");
  init_app->add_option("path", init.path, "File to write")->capture_default_str();
  init_app->add_option("--model", init.model, "Model folder or GGUF file")->capture_default_str();
  init_app->add_option("--task", init.task, "The task (default: by the data)");
  auto* own = init_app->add_option("--train", init.train, "Your own training data: .csv, .tsv, .jsonl, .json or .txt");
  init_app->add_option("--validation", init.validation, "Your own validation data (default: a part of --train)")
      ->needs(own);
  init_app->add_option("--data", init.data, "Folder of a known task, as distributed")->excludes(own);
  init_app->add_option("--text", init.text, "Column of texts (default: by its name)");
  init_app->add_option("--text-pair", init.text_pair, "Column of second texts (default: by its name, if any)");
  init_app->add_option("--label", init.label, "Column of labels or scores (default: by its name)");
  init_app->add_option("--method", init.method, "lora_xs, lora, pissa, full, …; see docs/recipe.md")
      ->capture_default_str();

  ShowOptions show;
  auto* show_app = app.add_subcommand("show", "What a file or folder is, on which base, and how good");
  show_app
      ->add_option("path", show.path, "Adapter, basis, safetensors or GGUF file; folder of a run, model, PEFT adapter")
      ->required();

  BasisOptions basis;
  auto* basis_app = app.add_subcommand("basis", "Compute the basis of a model");
  basis_app->add_option("--model", basis.model, "Hugging Face folder or GGUF file")->required();
  basis_app->add_option("--rank", basis.rank, "Largest rank")->capture_default_str();
  basis_app->add_option("--targets", basis.targets, "paper, all-linear, module names or site:NAME")->delimiter(',');
  basis_app->add_option("--variant", basis.variant, "weight, random or svd_of_random")
      ->check(CLI::IsMember({"weight", "random", "svd_of_random"}));
  basis_app->add_option("--vectors", basis.vectors, "top, middle or bottom")
      ->check(CLI::IsMember({"top", "middle", "bottom"}));
  basis_app->add_flag("--no-sigma", basis.no_sigma, "Leave the singular values out of a");
  basis_app->add_option("--seed", basis.seed, "Seed of the random variants");
  basis_app->add_option("--out", basis.out, "File to write (default: the cache)");

  TrainOptions train;
  auto* train_app = app.add_subcommand("train", "Train adapters from a recipe");
  train_app->add_option("recipe", train.recipe, "YAML recipe")->required();
  train_app->add_option("--set", train.set, "Override: key.sub=value")->take_all()->allow_extra_args(false);
  train_app->add_option("--memory", train.memory, "normal, or tight: weights stay as stored (train.memory)");
  train_app->add_option("--memory-gb", train.memory_gb, "GiB the process may take (train.memory_gb)");
  train_app->add_flag("--resume", train.resume, "Continue from the newest checkpoint, or start if there is none");
  train_app->add_flag("--allow-drift", train.allow_drift, "Resume although threads or GEMM backend differ");
  train_app->add_option("--beside", train.beside, "Run folder whose curves report.html shows too: the head alone, say");
  train_app->add_flag("--dry-run", train.dry_run, "Print sizes and steps, train nothing");

  EvalOptions eval;
  add_eval(app.add_subcommand("eval", "Score an adapter on a task"), eval);

  PredictOptions predict;
  auto* predict_app = app.add_subcommand("predict", "Labels of texts, one result a line");
  add_adapter(predict_app, predict.adapter, /*required=*/false);
  predict_app->add_option(
      "--input", predict.input,
      "A .csv or .tsv with a header, .jsonl or .json, or a file of lines, pairs with a tab; default stdin");
  add_columns(predict_app, predict.text, predict.text_pair, predict.label);

  CombineOptions combine;
  auto* combine_app =
      app.add_subcommand("combine", "Arithmetic on adapters: \"0.7*a.safetensors + 0.3*b.safetensors\"");
  combine_app->add_option("expression", combine.expression, "Sum of adapters")->required();
  combine_app->add_option("--out", combine.out, "Adapter file to write")->required();
  combine_app->add_option("--model", combine.model, "Hugging Face folder or GGUF file of the base model")->required();
  combine_app->add_option("--head", combine.head, "auto, none, or the adapter whose head is kept")
      ->capture_default_str();

  MergeOptions merge;
  auto* merge_app = app.add_subcommand("merge", "Write the adapter into the base weights");
  add_adapter(merge_app, merge.adapter);
  merge_app->add_option("--out", merge.out, "Folder to write; a .gguf file where the base is one")->required();
  merge_app
      ->add_option("--dtype", merge.dtype,
                   "float32, float16, bfloat16; for GGUF q8_0, q5_1, q5_0, q4_1, q4_0 too (default: as the base)")
      ->check(CLI::IsMember({"float32", "float16", "bfloat16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"}));

  UnmergeOptions unmerge;
  auto* unmerge_app = app.add_subcommand("unmerge", "The base weights back from a merged folder");
  add_adapter(unmerge_app, unmerge.adapter);
  unmerge_app->add_option("--merged", unmerge.merged, "Merged folder")->required();
  unmerge_app->add_option("--out", unmerge.out, "Folder to write")->required();
  unmerge_app->add_flag("--subtract", unmerge.subtract, "Subtract the update (default: the kept base's own bytes)");

  ConvertOptions convert;
  auto* convert_app = app.add_subcommand("convert", "A GGUF file as a Hugging Face folder, or a folder as a GGUF file");
  convert_app->add_option("--model", convert.model, "GGUF file or Hugging Face folder of a decoder")->required();
  convert_app->add_option("--out", convert.out, "Folder to write of a file, a .gguf file of a folder")->required();
  convert_app
      ->add_option(
          "--dtype", convert.dtype,
          "float32, float16, bfloat16; for a file q8_0, q5_1, q5_0, q4_1, q4_0 too (default: as stored, what is "
          "quantised as float32)")
      ->check(CLI::IsMember({"float32", "float16", "bfloat16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"}));

  ExportOptions export_options;
  auto* export_app = app.add_subcommand("export", "Write an adapter in another format");
  add_adapter(export_app, export_options.adapter);
  export_app->add_option("--format", export_options.format, "peft, gguf, reference or loraxs")
      ->check(CLI::IsMember({"peft", "gguf", "reference", "loraxs"}))
      ->capture_default_str();
  export_app->add_option("--out", export_options.out, "Folder (peft, reference) or file (gguf, loraxs) to write")
      ->required();
  export_app->add_option("--dtype", export_options.dtype, "With --format loraxs: bfloat16 or float16 rounds the row")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}));

  ImportOptions import;
  auto* import_app = app.add_subcommand("import", "Adapters of PEFT or the paper's reference as adapter files");
  import_app->add_option("--model", import.model, "Hugging Face folder or GGUF file of the base model")->required();
  auto* from = import_app->add_option("--from", import.from, "Folder with adapter_config.json");
  auto* in = import_app->add_option("--in", import.folder, "Folder of such folders, imported side by side");
  from->excludes(in);
  import_app->add_option("--out", import.out, "Adapter file to write (a folder with --in)")->required();
  import_app->add_option("--rank", import.rank, "Project on the model's basis of this rank; 0 = as it is, exactly")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  import_app->add_option("--basis", import.basis, "Basis file to project on");
  import_app
      ->add_option("--threshold", import.threshold, "Largest relative residual a projection may leave in a module")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  import_app->add_option("--labels", import.labels, "Classes of the head (default: the model's id2label)")
      ->delimiter(',');

  SweepOptions sweep;
  auto* sweep_app = app.add_subcommand("sweep", "Scores along the line between two adapters");
  add_model(sweep_app, sweep.adapter);
  add_task(sweep_app, sweep.task);
  sweep_app->add_option("--from", sweep.from, "Adapter at t = 0")->required();
  sweep_app->add_option("--to", sweep.to, "Adapter at t = 1")->required();
  sweep_app->add_option("--begin", sweep.begin, "First t; below 0 it goes away from --to")->capture_default_str();
  sweep_app->add_option("--end", sweep.end, "Last t")->capture_default_str();
  sweep_app->add_option("--points", sweep.points, "Adapters scored")->capture_default_str();
  sweep_app->add_option("--report", sweep.report, "Page with the curve to write");

  NearestOptions nearest;
  auto* nearest_app = app.add_subcommand("nearest", "Adapters of a folder by the distance of their updates");
  add_adapter(nearest_app, nearest.adapter);
  nearest_app->add_option("--in", nearest.folder, "Folder of adapters")->required();
  nearest_app->add_option("--top", nearest.top, "How many to list; 0 = all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();

  StudyOptions study;
  auto* study_app = app.add_subcommand("study", "Measurements of the paper's questions on a model and a task");
  study_app
      ->add_option(
          "question", study.question,
          "glue, parameters, init, vectors, sigma, importance, delta, budget, storage, speed, instruct, combine, "
          "seed, size, basis, spend, all of them (all); energy: how much of the task gradient lies in S = {b R a}")
      ->required();
  study_app->add_option("recipes", study.recipes,
                        "Recipes that state model, data, rates and seeds; left out: the study's");
  study_app->add_option("--folder", study.folder, "Where runs and results go, and are found again")
      ->capture_default_str();
  study_app->add_flag("--quick", study.quick, "Two steps of each training: whether it works, not what comes out");
  study_app->add_flag("--trained", study.trained, "Of comparisons: tell what finished runs say, and train nothing");
  study_app->add_flag("--estimate", study.estimate, "Say how long it takes, and start nothing");
  add_adapter(study_app, study.adapter, /*required=*/false);
  add_task(study_app, study.task);
  for (const char* name : {"--model", "--task", "--data"}) study_app->get_option(name)->required(false);
  study_app->add_option("--rank", study.rank, "Rank of the subspaces")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  study_app->add_option("--examples", study.examples, "First training examples whose mean gradient is taken")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  study_app->add_option("--max-length", study.max_length, "Tokens of an example")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  study_app->add_option("--seed", study.seed, "Seed of the random subspaces and of a fresh head")
      ->capture_default_str();
  study_app->add_option("--format", study.format, "markdown or csv")
      ->check(CLI::IsMember({"markdown", "csv"}))
      ->capture_default_str();
  study_app->add_option("--report", study.report, "Page with the pictures to write");

  ParamsOptions params;
  auto* params_app = app.add_subcommand("params", "Counts and bytes of LoRA-XS, LoRA, VeRA and full fine-tuning");
  params_app->add_option("model", params.model, "Model folder, config.json or GGUF file")->required();
  params_app->add_option("--rank", params.ranks, "Ranks")->delimiter(',');
  params_app->add_option("--targets", params.targets, "paper, all-linear, module names or site:NAME")->delimiter(',');
  params_app->add_option("--labels", params.labels, "Outputs of the head")->capture_default_str();
  params_app->add_option("--vera-rank", params.vera_rank, "Rank of VeRA's shared pair")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  params_app->add_flag("--list", params.list, "List the sites instead");

  TableOptions table;
  auto* table_app =
      app.add_subcommand("table", "Rows of runs and evaluations: parameters, rank, score per task, average");
  table_app
      ->add_option("runs", table.runs, "Folders of runs, or with runs below; files of eval --answers and eval --json")
      ->required();
  table_app->add_flag("--by-run", table.by_run, "A row per run, with its folder: two starts or settings of one method");
  table_app->add_option("--format", table.format, "markdown, csv or json")
      ->check(CLI::IsMember({"markdown", "csv", "json"}))
      ->capture_default_str();

  GenerateOptions generate;
  auto* generate_app = app.add_subcommand("generate", "Continue prompts, one result a line");
  add_text(generate_app, generate.text);
  generate_app->add_option("--prompt", generate.prompt, "The prompt");
  generate_app->add_option("--input", generate.input, "JSON lines with \"prompt\" and, if wanted, \"adapter\"");
  generate_app->add_flag("--chat", generate.chat, "A prompt is a user's turn of the model's chat template");
  generate_app->add_flag("--ignore-eos", generate.ignore_eos, "Go on after the model's end of text");
  generate_app->add_option("--logprobs", generate.logprobs, "Log-probabilities, with so many likely tokens each");
  generate_app->add_option("--n", generate.samples, "Answers per prompt: draws, or the best of the beams")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_search(generate_app, generate.search);
  generate_app->add_option("--batch", generate.batch, "Prompts computed together")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();

  ConversationOptions chat;
  auto* chat_app = app.add_subcommand("chat", "Talk to a model");
  add_text(chat_app, chat.text);

  CacheOptions cache;
  auto* cache_app = app.add_subcommand("cache", "The folder of bases and base ids: what is in it, or clear it");
  cache_app->add_option("action", cache.action, "list, or clear: remove our own files, no others")
      ->check(CLI::IsMember({"list", "clear"}))
      ->required();

  auto* doctor_app =
      app.add_subcommand("doctor", "This machine: CPU, GEMM speed, versions, what precision: auto picks");

  for (CLI::App* sub : app.get_subcommands({})) {
    add_common(sub, common);
    sub->footer("Example:\n  " + std::string(example_of(sub->get_name())));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return {.command = std::nullopt, .exit_code = app.exit(help)};
  } catch (const CLI::CallForAllHelp& help) {
    return {.command = std::nullopt, .exit_code = app.exit(help)};
  } catch (const CLI::CallForVersion& version) {
    return {.command = std::nullopt, .exit_code = app.exit(version)};
  } catch (const CLI::ParseError& error) {
    if (argc == 1) {
      std::cerr << app.help();
    } else {
      std::cerr << "loraxs: " << safe_message(usage_error(app, error.what(), argc, argv)) << '\n';
    }
    return {.command = std::nullopt, .exit_code = 2};
  }
  if (*init_app) command.options = init;
  if (*show_app) command.options = show;
  if (*basis_app) command.options = basis;
  if (*train_app) command.options = train;
  if (app.got_subcommand("eval")) command.options = eval;
  if (*predict_app) command.options = predict;
  if (*combine_app) command.options = combine;
  if (*merge_app) command.options = merge;
  if (*unmerge_app) command.options = unmerge;
  if (*convert_app) command.options = convert;
  if (*export_app) command.options = export_options;
  if (*import_app) command.options = import;
  if (*sweep_app) command.options = sweep;
  if (*nearest_app) command.options = nearest;
  if (*study_app) command.options = study;
  if (*params_app) command.options = params;
  if (*table_app) command.options = table;
  if (*generate_app) command.options = generate;
  if (*chat_app) command.options = chat;
  if (*cache_app) command.options = cache;
  if (*doctor_app) command.options = DoctorOptions{};
  return {.command = command};
}

}  // namespace loraxs
