// data/tasks/qnli.h: QNLI (GLUE, from SQuAD): does the sentence answer the question?
#pragma once
#include "data/task.h"

namespace loraxs {

Task load_qnli(Fields& fields, const std::filesystem::path& base);

}  // namespace loraxs
