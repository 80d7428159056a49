#include "data/json_records.h"

#include <algorithm>

#include "io/error.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

bool is_array_file(const std::filesystem::path& path) {
  return (path.extension() == ".gz" ? path.stem() : path).extension() == ".json";
}

/// The reason of the parser without its own prefix: "unexpected end of input".
std::string reason_of(const nlohmann::json::exception& error) {
  const std::string text = error.what();
  const size_t found = text.find(": ");
  return found == std::string::npos ? text : text.substr(found + 2);
}

}  // namespace

OnError read_on_error(Fields& fields) {
  return fields.choice("on_error", "stop", {"stop", "skip"}) == "skip" ? OnError::kSkip : OnError::kStop;
}

std::string record_text(const Json& record, const std::string& key, const std::string& where) {
  if (!record.contains(key)) throw Error(concat(where, ": ", key, ": expected a text, found none"));
  if (!record[key].is_string()) {
    throw Error(concat(where, ": ", key, ": expected a text, found ", record[key].type_name()));
  }
  return record[key].get<std::string>();
}

std::vector<Example> read_examples(const std::filesystem::path& path, OnError on_error, int64_t& num_skipped,
                                   const std::function<Example(const Json& record, const std::string& where)>& make) {
  const std::string text = read_text_file(path);
  std::vector<Example> examples;
  const auto keep = [&](const std::string& where, const std::function<Json()>& record) {
    try {
      const Json object = record();
      if (!object.is_object()) throw Error(concat(where, ": expected a JSON object, found ", object.type_name()));
      examples.push_back(make(object, where));
    } catch (const Error&) {
      if (on_error == OnError::kStop) throw;
      ++num_skipped;
    }
  };
  if (is_array_file(path) && text.find_first_not_of(" \t\r\n") != std::string::npos &&
      text[text.find_first_not_of(" \t\r\n")] == '[') {
    Json array;
    try {
      array = Json::parse(text);
    } catch (const nlohmann::json::exception& error) {
      throw Error(concat(path.string(), ": expected a JSON array: ", reason_of(error)));
    }
    for (size_t i = 0; i < array.size(); ++i) {
      keep(concat(path.string(), "[", i, "]"), [&] { return array[i]; });
    }
  } else {
    int64_t line = 0;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::string content = text.substr(begin, end - begin);
      begin = end + 1;
      ++line;
      if (content.find_first_not_of(" \t\r") == std::string::npos) continue;
      const std::string where = concat(path.string(), ":", line);
      keep(where, [&]() -> Json {
        try {
          return Json::parse(content);
        } catch (const nlohmann::json::exception& error) {
          throw Error(concat(where, ": expected a JSON object: ", reason_of(error)));
        }
      });
    }
  }
  if (examples.empty()) {
    throw Error(concat(path.string(), ": expected records, found ", num_skipped > 0 ? "only damaged ones" : "none"));
  }
  return examples;
}

}  // namespace loraxs
