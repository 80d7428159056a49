// data/tasks/records.h: tasks whose records hold a question and its answer: instructions, GSM8K, MATH, MetaMathQA, and
// the commonsense sets.
#pragma once
#include <filesystem>
#include <span>
#include <string>

#include "data/task.h"

namespace loraxs {

/// instructions, gsm8k, math, metamath, commonsense, and the eight sets of it by themselves.
std::span<const char* const> record_task_names();
/// boolq, piqa, siqa, hellaswag, winogrande, arc_easy, arc_challenge, openbookqa: the paper's columns.
std::span<const char* const> commonsense_sets();
/// Whether it is one of them, or their mix.
bool is_commonsense(const std::string& name);
bool is_record_task(const std::string& name);

/// `train` and `validation` name .jsonl or .json files, .gz accepted; or `data` a folder with the files as distributed.
/// `prompt: alpaca | llm_adapters | chat | none`; chat renders the model's template. `on_error: stop | skip`.
/// MetaMathQA keeps the first 100,000 records of train, as the paper.
Task load_records(const std::string& name, Fields& fields, const std::filesystem::path& base, MissingFiles missing,
                  Splits splits);

}  // namespace loraxs
