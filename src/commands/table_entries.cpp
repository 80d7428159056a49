#include "commands/table_entries.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "adapt/adapter_file.h"
#include "api/adapters.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/sha256.h"
#include "io/text_file.h"
#include "train/recipe.h"
#include "train/recipe_changes.h"

namespace loraxs {
namespace {

namespace fs = std::filesystem;

/// What an evaluation's adapter is, wherever that is still known.
struct AdapterFacts {
  std::string model, method, rank;
  int64_t parameters = 0;
};

/// Leaves of an object by dotted key.
void collect_leaves(const nlohmann::json& value, const std::string& key, std::map<std::string, std::string>& leaves) {
  if (!value.is_object() || value.empty()) {
    leaves[key] = value.is_string() ? value.get<std::string>() : json_text(value);
    return;
  }
  for (const auto& [name, inner] : value.items()) collect_leaves(inner, key.empty() ? name : key + "." + name, leaves);
}

/// What the run's recipe says beyond its task; nothing where it is lost.
std::map<std::string, std::string> recipe_settings(const fs::path& run) {
  std::map<std::string, std::string> settings = {{"by", "train"}};
  if (!fs::exists(run / "recipe.yaml")) return settings;
  nlohmann::json content = recipe_content(read_recipe(run / "recipe.yaml", {}));
  content.erase("task");
  collect_leaves(content, "", settings);
  return settings;
}

TableEntry read_run(const fs::path& run) {
  const fs::path path = run / "result.json";
  if (!fs::exists(path)) {
    throw Error(concat(run.string(), ": expected a finished run with result.json, found ",
                       fs::exists(run) ? "none; finish it with loraxs train … --resume" : "nothing there"));
  }
  Fields fields(read_json(path), path.string());
  fields.ignore_unknown();
  const nlohmann::json rank = fields.raw("rank");
  if (!fields.has("value")) fields.fail("value", "expected a score, found a run without validation data");
  TableEntry entry{.source = run.string(),
                   .model = fields.text("model", ""),
                   .method = fields.text("method", ""),
                   .rank = rank.is_null() ? "mixed" : rank.dump(),
                   .parameters = fields.non_negative_int("trained_parameters", 0),
                   .task = fields.text("task", ""),
                   .metric = fields.text("metric", ""),
                   .value = fields.number("value", 0),
                   .settings = recipe_settings(run)};
  if (fields.has("standard_deviation")) entry.deviation = fields.number("standard_deviation", 0);
  return entry;
}

/// The adapter file's own word. Of a sum, or where the file is gone, its name stands for the method.
AdapterFacts facts_of_adapter(const std::string& name, const std::string& model) {
  if (name.empty()) return {.model = model, .method = "base model", .rank = ""};
  AdapterFacts facts{.model = model, .method = name, .rank = ""};
  try {
    const AdapterFile file = read_adapter(name);
    const nlohmann::json layout = parse_json(file.layout_json, name);
    facts.method = file.method;
    if (layout.contains("rank")) facts.rank = json_text(layout["rank"]);
    facts.parameters = static_cast<int64_t>(file.row.size());
  } catch (const Error&) {
    return facts;
  }
  return facts;
}

/// An evaluation's entry, its source and settings filled by the caller.
TableEntry entry_of(const AdapterFacts& facts, const std::string& task, const std::string& metric, double value) {
  return {.model = facts.model,
          .method = facts.method,
          .rank = facts.rank,
          .parameters = facts.parameters,
          .task = task,
          .metric = metric,
          .value = value};
}

/// The shares of right answers in a file of eval --answers.
std::vector<TableEntry> read_answers(const std::string& path, const std::string& text, const nlohmann::json& header) {
  Fields head(header, path);
  head.ignore_unknown();
  Fields settings(header.at("settings"), path, "settings");
  settings.ignore_unknown();
  const std::string task = settings.text("task", ""), by = settings.text("by", ""),
                    model = head.text("model", settings.text("base_id", "").substr(0, 16));
  const std::string digest = settings.text("adapter", "");
  const AdapterFacts facts = digest.empty() ? facts_of_adapter("", model)
                                            : facts_of_adapter(head.text("adapter", digest.substr(0, 16)), model);
  const bool choices = by == "choices";
  const std::pair<const char*, const char*> keys =
      choices ? std::pair{"right_by_sum", "right_by_mean"} : std::pair{"strict", "compatible"};
  int64_t answers = 0, first = 0, second = 0, number = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (++number == 1 || lines.eof()) continue;  // the last one without its end was not finished
    const nlohmann::json record = json_or_null(line);
    const auto right = [&](const char* key) {
      const auto found = record.find(key);
      if (found != record.end() && found->is_boolean()) return found->get<bool>();
      throw Error(concat(path, ":", number, ": ", key, ": expected true or false, found none; the line is damaged"));
    };
    if (!record.is_object()) throw Error(concat(path, ":", number, ": expected a JSON object, found a damaged line"));
    ++answers;
    first += right(keys.first) ? 1 : 0;
    second += right(keys.second) ? 1 : 0;
  }
  if (answers == 0) throw Error(concat(path, ": expected answers, found none"));
  const auto share = [&](int64_t right) { return static_cast<double>(right) / static_cast<double>(answers); };
  TableEntry score = entry_of(facts, task, choices ? "by_sum" : "strict", share(first));
  TableEntry other = entry_of(facts, task, choices ? "by_mean" : "compatible", share(second));
  other.second = true;
  std::map<std::string, std::string> used;
  collect_leaves(header.at("settings"), "", used);
  used["answers"] = std::to_string(answers);
  used["adapter"] = head.text("adapter", digest);
  score.settings = other.settings = used;
  score.source = other.source = path;
  return {score, other};
}

/// A line of eval --json.
void read_result(const std::string& path, const nlohmann::json& line, std::vector<TableEntry>& entries) {
  Fields fields(line, path);
  fields.ignore_unknown();
  if (const nlohmann::json sets = fields.raw("sets"); sets.is_array()) {
    for (const auto& set : sets) {
      if (!set.is_object() || set.contains("sets")) fields.fail("sets", "expected one result a set, found others");
      read_result(path, set, entries);
    }
    return;
  }
  if (!fields.has("value") || !fields.has("metric"))
    fields.fail("value", "expected a line of eval --json with metric and value, found none");
  const std::string adapter = fields.text("adapter", ""), metric = fields.text("metric", "");
  const AdapterFacts facts = facts_of_adapter(adapter, fields.text("model", ""));
  const std::string task = fields.text("task", "");
  const std::map<std::string, std::string> settings = {{"by", "eval"}, {"adapter", adapter}};
  const auto add = [&](const char* key, const std::string& name, bool second) {
    TableEntry entry = entry_of(facts, task, name, fields.number(key, 0));
    entry.second = second;
    entry.source = path;
    entry.settings = settings;
    entries.push_back(std::move(entry));
  };
  const bool choices = fields.has("by_sum");
  if (choices || fields.has("strict")) {
    add(choices ? "by_sum" : "strict", choices ? "by_sum" : "strict", false);
    add(choices ? "by_mean" : "compatible", choices ? "by_mean" : "compatible", true);
  } else {
    add("value", metric, false);
  }
}

void read_file(const std::string& path, std::vector<TableEntry>& entries) {
  const std::string text = read_text_file(path);
  const nlohmann::json first = json_or_null(std::string_view(text).substr(0, text.find('\n')));
  if (first.is_object() && first.contains("settings") && first["settings"].is_object()) {
    for (TableEntry& entry : read_answers(path, text, first)) entries.push_back(std::move(entry));
    return;
  }
  std::istringstream lines(text);
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty()) continue;
    const std::string where = concat(path, ":", number);
    const nlohmann::json object = parse_json(line, where);
    if (!object.is_object())
      throw Error(concat(where, ": expected a line of eval --json, or a file of eval --answers, found another value"));
    read_result(path, object, entries);
  }
}

/// Runs below a folder, by name; what is not finished is told.
void find_runs(const fs::path& folder, int depth, std::vector<TableEntry>& entries,
               std::vector<std::string>& unfinished) {
  constexpr int kDeepest = 4;  // runs/glue/cola/seed
  if (fs::exists(folder / "result.json")) {
    entries.push_back(read_run(folder));
    return;
  }
  if (fs::exists(folder / ".loraxs-run") || fs::exists(folder / "metrics.jsonl")) {
    unfinished.push_back(folder.string());
    return;
  }
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.symlink_status().type() == fs::file_type::directory) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  for (const fs::path& inner : folders) {
    if (depth < kDeepest) find_runs(inner, depth + 1, entries, unfinished);
  }
}

}  // namespace

std::vector<TableEntry> read_table_entries(const std::vector<std::string>& paths,
                                           std::vector<std::string>& unfinished) {
  std::vector<TableEntry> entries;
  for (const std::string& path : paths) {
    if (!fs::is_directory(path) && fs::exists(path)) {
      read_file(path, entries);
      continue;
    }
    const size_t before = entries.size();
    if (fs::is_directory(path)) find_runs(path, 0, entries, unfinished);
    if (entries.size() == before) entries.push_back(read_run(path));  // which says what it lacks
  }
  return entries;
}

}  // namespace loraxs
