#include "data/json_records.h"

#include <algorithm>

#include "io/error.h"
#include "io/json.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

bool is_array_file(const std::filesystem::path& path) { return text_extension(path) == ".json"; }

constexpr std::string_view kBlanks = " \t\r\n";

size_t skip_blanks(std::string_view text, size_t at) {
  return std::min(text.find_first_not_of(kBlanks, at), text.size());
}

/// The end of the JSON value that begins at `begin`: the first comma or bracket that belongs to what is around it.
size_t end_of_value(std::string_view text, size_t begin) {
  int64_t depth = 0;
  bool quoted = false;
  for (size_t at = begin; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (depth == 0 && (c == ',' || c == ']' || c == '}')) {
      return at;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return text.size();
}

/// Visits the elements of an array without making all of them at once: files of records are larger than one value may
/// be.
void for_each_element(std::string_view text, const std::string& where,
                      const std::function<void(std::string_view element, size_t index)>& visit) {
  size_t at = skip_blanks(text, text.find('[') + 1), index = 0;
  while (at < text.size() && text[at] != ']') {
    const size_t end = end_of_value(text, at);
    visit(text.substr(at, end - at), index++);
    if (end == text.size()) break;
    at = end;
    if (text[at] != ',') break;
    at = skip_blanks(text, at + 1);
    if (at < text.size() && text[at] == ']') at = text.size();
  }
  if (at >= text.size() || text[at] != ']' || skip_blanks(text, at + 1) != text.size()) {
    throw Error(concat(where, ": expected a JSON array that ends with ], found another end; the file is damaged"));
  }
}

}  // namespace

OnError read_on_error(Fields& fields) {
  return fields.choice("on_error", "stop", {"stop", "skip"}) == "skip" ? OnError::kSkip : OnError::kStop;
}

std::string record_text(const Json& record, const std::string& key, const std::string& where) {
  if (!record.is_object()) throw Error(concat(where, ": expected a JSON object, found ", record.type_name()));
  if (!record.contains(key)) throw Error(concat(where, ": ", key, ": expected a text, found none"));
  if (!record[key].is_string()) {
    throw Error(concat(where, ": ", key, ": expected a text, found ", record[key].type_name()));
  }
  return record[key].get<std::string>();
}

void for_each_record(std::string_view text, const std::filesystem::path& path, const VisitRecord& visit) {
  check_utf8(text, path.string());
  if (is_array_file(path) && text.substr(skip_blanks(text, 0)).starts_with('[')) {
    for_each_element(text, path.string(), [&](std::string_view element, size_t index) {
      visit(element, concat(path.string(), "[", index, "]"), static_cast<int64_t>(index) + 1);
    });
    return;
  }
  const std::string_view first = text.substr(skip_blanks(text, 0));
  const std::string_view first_line = first.substr(0, first.find_last_not_of(kBlanks, first.find('\n')) + 1);
  const bool begins = first_line.starts_with('{') || first_line.starts_with('[');
  if (begins && first_line.size() < first.size() &&
      (first_line.ends_with('{') || first_line.ends_with('[') || first_line.ends_with(','))) {
    throw Error(concat(path.string(),
                       ": expected one record a line, or an array of them in a .json file, found a value ",
                       "over several lines; in Python: json.dumps(record) makes a line of each"));
  }
  int64_t line = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view content = text.substr(begin, end - begin);
    begin = end + 1;
    ++line;
    if (content.find_first_not_of(kBlanks) == std::string_view::npos) continue;
    visit(content, concat(path.string(), ":", line), line);
  }
}

std::vector<Example> read_examples(const std::filesystem::path& path, OnError on_error, int64_t& num_skipped,
                                   const MakeExample& make) {
  return parse_examples(read_text_file(path), path, on_error, num_skipped, make);
}

std::vector<Example> parse_examples(std::string_view text, const std::filesystem::path& path, OnError on_error,
                                    int64_t& num_skipped, const MakeExample& make) {
  std::vector<Example> examples;
  const auto keep = [&](const std::string& where, std::string_view record) {
    try {
      examples.push_back(make(parse_ordered_json(record, where, kDataLimits), where));
    } catch (const Error&) {
      if (on_error == OnError::kStop) throw;
      ++num_skipped;
    }
  };
  for_each_record(text, path,
                  [&](std::string_view record, const std::string& where, int64_t /*number*/) { keep(where, record); });
  if (examples.empty()) {
    throw Error(concat(path.string(), ": expected records, found ", num_skipped > 0 ? "only damaged ones" : "none"));
  }
  return examples;
}

}  // namespace loraxs
