// data/tasks/text.h: plain text, learned token by token.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "data/task.h"

namespace loraxs {

/// `train`, `validation`: .txt files of one text each, or .jsonl / .json with a `text` per record; .gz accepted.
/// `validation: 0.1` holds out that part of several texts, or the end of one, from a line's start on (as
/// `validation_fraction` does).
/// The texts are tokenised end to end, EOS between them, and cut every max_length tokens.
Task load_text(Fields& fields, const std::filesystem::path& base, MissingFiles missing);
/// The same of records that are at hand, a list, from which `validation` may hold out a part.
Task text_of(const nlohmann::ordered_json& records, Fields& fields, const std::string& where);

}  // namespace loraxs
