// data/json_records.h: the records of a .jsonl file (one a line) or a .json file (one array).
#pragma once
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/example.h"
#include "io/fields.h"
#include "io/json.h"

namespace loraxs {

/// Of a record: each key of an object once, as nothing of it may be lost.
inline constexpr JsonLimits kDataLimits = {.keys = kRecordLimits.keys, .unique_keys = true};

enum class OnError { kStop, kSkip };

/// `on_error: stop | skip` of a task section.
OnError read_on_error(Fields& fields);

/// Makes an example of every record; `where` is "file.jsonl:12" or "file.json[11]" (a .json array has no lines).
/// A record that is no JSON, or for which `make` throws Error, ends everything or is counted in `num_skipped`.
/// Throws Error for a missing file, one without records, and one in which every record is damaged.
using MakeExample = std::function<Example(const nlohmann::ordered_json& record, const std::string& where)>;
std::vector<Example> read_examples(const std::filesystem::path& path, OnError on_error, int64_t& num_skipped,
                                   const MakeExample& make);
/// The same of a file's text; the path tells lines from an array and begins errors.
std::vector<Example> parse_examples(std::string_view text, const std::filesystem::path& path, OnError on_error,
                                    int64_t& num_skipped, const MakeExample& make);

/// Visits the records of a file's text, each as its JSON text with its place: "file.jsonl:12", and that line, or
/// "file.json[11]" and 12 (a .json array has no lines). Throws Error for bytes that are no UTF-8 and a damaged array.
using VisitRecord = std::function<void(std::string_view record, const std::string& where, int64_t number)>;
void for_each_record(std::string_view text, const std::filesystem::path& path, const VisitRecord& visit);

/// A text of a record. Throws Error for a record that is no object, and naming the key if it is absent or no text.
std::string record_text(const nlohmann::ordered_json& record, const std::string& key, const std::string& where);

}  // namespace loraxs
