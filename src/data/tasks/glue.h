// data/tasks/glue.h: the tasks of the paper's Table 1 (and MNLI, which some start from) in GLUE's own files.
#pragma once
#include <filesystem>
#include <span>

#include "data/task.h"

namespace loraxs {

/// Names as Hugging Face spells them: cola, mnli, mrpc, qnli, rte, sst2, stsb.
std::span<const char* const> glue_names();

/// `data` is the folder of one task's files as distributed, .gz accepted. kValidation reads the validation file alone.
Task load_glue(const std::string& name, Fields& fields, const std::filesystem::path& base, MissingFiles missing,
               Splits splits);

}  // namespace loraxs
