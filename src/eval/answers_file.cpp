#include "eval/answers_file.h"

#include <string_view>

#include "io/error.h"
#include "io/json.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

std::string line_of(const Json& object) {
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void check_settings(const std::string& path, const Json& begun, const Json& settings) {
  for (const auto& [key, value] : settings.items()) {
    const Json before = begun.contains(key) ? begun[key] : Json();
    if (before == value) continue;
    throw Error(concat(path, ": ", key, ": expected ", before.dump(), ", with which these answers were begun, found ",
                       value.dump(), "; name another file, or delete this one"));
  }
}

}  // namespace

AnswersFile::AnswersFile(const std::filesystem::path& path, const Json& settings, const Json& about) : file_(path) {
  read(path, settings);
  if (std::filesystem::file_size(path) > 0) return;
  Json header = {{"settings", settings}};
  header.update(about);
  file_.append(line_of(header));
}

void AnswersFile::read(const std::filesystem::path& path, const Json& settings) {
  const std::string text = read_text_file(path);
  int64_t number = 0;
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin)) {
    const std::string where = concat(path.string(), ":", ++number);
    Json line = ordered_json_or_null(std::string_view(text).substr(begin, end - begin));
    if (number == 1) {
      if (!line.is_object() || !line.contains("settings") || !line["settings"].is_object()) {
        throw Error(concat(where, ": expected {\"settings\": …}, found a file of another kind; name another file"));
      }
      check_settings(path.string(), line["settings"], settings);
      continue;
    }
    if (!line.is_object() || !line.contains("index") || !line["index"].is_number_integer()) {
      throw Error(
          concat(where, ": expected a JSON object with \"index\", found a damaged line; delete it, or the file"));
    }
    const auto index = line["index"].get<int64_t>();
    records_[index] = std::move(line);
  }
  constexpr std::string_view kHeader = "{\"settings\"";
  if (begin == 0 && !text.starts_with(kHeader) && !kHeader.starts_with(text)) {
    throw Error(
        concat(path.string(), ":1: expected {\"settings\": …}, found a file of another kind; name another file"));
  }
  file_.cut(begin);
}

void AnswersFile::append(const Json& record) {
  file_.append(line_of(record));
  records_[record.at("index").get<int64_t>()] = record;
}

}  // namespace loraxs
