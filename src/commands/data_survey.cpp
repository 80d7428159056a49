#include "commands/data_survey.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <optional>
#include <span>

#include "data/delimited.h"
#include "data/json_records.h"
#include "data/label_column.h"
#include "io/error.h"

namespace loraxs {
namespace {

constexpr const char* kLabelNames[] = {"label",     "labels", "class",  "category", "target", "gold_label",
                                       "sentiment", "intent", "rating", "score",    "stars"};
constexpr const char* kIdNames[] = {"id", "idx", "index", "guid", "uid", "uuid", "row"};
constexpr const char* kTextNames[] = {"text",     "sentence", "content", "message", "review",
                                      "document", "comment",  "body",    "tweet",   "utterance"};
constexpr std::pair<const char*, const char*> kPairNames[] = {
    {"sentence1", "sentence2"}, {"sentence_a", "sentence_b"}, {"text1", "text2"},       {"text_a", "text_b"},
    {"premise", "hypothesis"},  {"question1", "question2"},   {"question", "sentence"}, {"text", "text_pair"},
    {"question", "passage"},    {"query", "passage"},         {"query", "document"}};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// The column of that name, in whatever case.
std::optional<std::string> column_named(const Table& table, const std::string& name) {
  for (const std::string& column : table.columns) {
    if (lower(column) == name) return column;
  }
  return std::nullopt;
}

std::optional<std::string> first_named(const Table& table, std::span<const char* const> names) {
  for (const char* name : names) {
    if (auto column = column_named(table, name)) return column;
  }
  return std::nullopt;
}

bool is_number(const std::string& text, double* value = nullptr) {
  double number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (value != nullptr) *value = number;
  return !text.empty() && code == std::errc() && end == text.data() + text.size();
}

/// What the cells of a column are like.
struct ColumnFacts {
  std::map<std::string, int64_t> counts;  // of distinct cells, at most kMostDistinct + 1 of them
  bool numbers = true;                    // all cells are
  bool whole = true;                      // all numbers are integers
  int64_t words = 0;                      // blanks in all cells

  static constexpr size_t kMostDistinct = 1000;
};
ColumnFacts facts_of(const Table& table, size_t column) {
  ColumnFacts facts;
  for (const Table::Row& row : table.rows) {
    const std::string& cell = table.cell(row, column);
    double value = 0;
    if (!is_number(cell, &value)) facts.numbers = false;
    if (value != static_cast<double>(static_cast<int64_t>(value))) facts.whole = false;
    facts.words += std::count(cell.begin(), cell.end(), ' ');
    if (facts.counts.size() <= ColumnFacts::kMostDistinct || facts.counts.contains(cell)) ++facts.counts[cell];
  }
  return facts;
}

[[noreturn]] void unclear(const Table& table, const std::string& what, const char* option) {
  throw Error(concat(table.where, ": expected ", what, ", found the columns ", table.column_names(), "; name it with ",
                     option, " COLUMN"));
}

/// A column that can be meant alone: not taken, not an id, and with words in it (of texts) or few values (of labels).
std::string only_column(const Table& table, const std::vector<std::string>& taken, bool texts) {
  std::vector<std::string> possible;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const std::string& name = table.columns[c];
    const auto is_id = [&](const char* id) { return lower(name) == id; };
    if (std::find(taken.begin(), taken.end(), name) != taken.end()) continue;
    if (std::any_of(std::begin(kIdNames), std::end(kIdNames), is_id)) continue;
    const ColumnFacts facts = facts_of(table, c);
    const auto rows = static_cast<int64_t>(table.rows.size());
    const auto distinct = static_cast<int64_t>(facts.counts.size());
    const bool few = distinct >= 2 && distinct * 4 <= rows;
    if (texts ? !facts.numbers && facts.words >= rows : few) possible.push_back(name);
  }
  if (possible.size() == 1) return possible.front();
  unclear(table, texts ? "one column of texts" : "one column of labels", texts ? "--text" : "--label");
}

NamedColumns choose_columns(const Table& table, NamedColumns chosen) {
  for (const auto& [name, option] :
       {std::pair{&chosen.text, "--text"}, {&chosen.text_pair, "--text-pair"}, {&chosen.label, "--label"}}) {
    if (!name->empty()) table.column(*name, option);
  }
  if (chosen.label.empty()) chosen.label = first_named(table, kLabelNames).value_or("");
  if (chosen.text.empty()) {
    for (const auto& [first, second] : kPairNames) {
      const auto one = column_named(table, first), other = column_named(table, second);
      if (!one || !other || *one == chosen.label || *other == chosen.label || !chosen.text_pair.empty()) continue;
      chosen.text = *one;
      chosen.text_pair = *other;
      break;
    }
  }
  if (chosen.text.empty()) chosen.text = first_named(table, kTextNames).value_or("");
  if (chosen.label.empty()) chosen.label = only_column(table, {chosen.text, chosen.text_pair}, /*texts=*/false);
  if (chosen.text.empty()) chosen.text = only_column(table, {chosen.text_pair, chosen.label}, /*texts=*/true);
  return chosen;
}

/// The tasks of records by keys that all of their records have; the first that fits.
struct RecordShape {
  const char* task;
  std::vector<std::string> keys;
};
const std::vector<RecordShape>& record_shapes() {
  static const std::vector<RecordShape> shapes = {{"chat", {"messages"}},
                                                  {"chat", {"conversations"}},
                                                  {"chat", {"conversation"}},
                                                  {"chat", {"prompt", "completion"}},
                                                  {"instructions", {"instruction", "output"}},
                                                  {"gsm8k", {"question", "answer"}},
                                                  {"math", {"problem", "solution"}},
                                                  {"metamath", {"query", "response"}},
                                                  {"text", {"text"}}};
  return shapes;
}

}  // namespace

std::string data_extension(const std::filesystem::path& path) {
  return (path.extension() == ".gz" ? path.stem() : path).extension().string();
}

TableSurvey survey_table(const std::filesystem::path& path, const NamedColumns& named) {
  const Table table = read_table(path, /*header=*/true);
  if (table.rows.empty()) throw Error(concat(path.string(), ": expected rows behind the header, found none"));
  TableSurvey survey{.columns = table.columns, .rows = static_cast<int64_t>(table.rows.size())};
  survey.chosen = choose_columns(table, named);
  const ColumnFacts facts = facts_of(table, table.column(survey.chosen.label, "--label"));
  const auto distinct = static_cast<int64_t>(facts.counts.size());
  constexpr int64_t kMostNumberedClasses = 20;
  if (facts.numbers && (!facts.whole || distinct > kMostNumberedClasses)) {
    survey.kind = TaskKind::kRegression;
    return survey;
  }
  if (distinct > static_cast<int64_t>(ColumnFacts::kMostDistinct) || (distinct > 20 && distinct * 2 > survey.rows)) {
    throw Error(concat(path.string(), ": ", survey.chosen.label, ": expected labels that repeat, found ",
                       distinct > static_cast<int64_t>(ColumnFacts::kMostDistinct) ? "more than 1000" : "",
                       distinct > static_cast<int64_t>(ColumnFacts::kMostDistinct) ? "" : std::to_string(distinct),
                       " different ones in ", survey.rows, " rows; name another column with --label"));
  }
  if (distinct < 2) {
    throw Error(concat(path.string(), ": ", survey.chosen.label, ": expected at least two different labels, found ",
                       distinct, "; name another column with --label"));
  }
  for (const std::string& label : distinct_labels(table, survey.chosen.label))
    survey.labels.emplace_back(label, facts.counts.at(label));
  return survey;
}

RecordSurvey survey_records(const std::filesystem::path& path) {
  if (data_extension(path) == ".txt") return {.task = "text", .records = 1};
  RecordSurvey survey;
  int64_t skipped = 0;
  read_examples(path, OnError::kStop, skipped, [&](const nlohmann::ordered_json& record, const std::string&) {
    if (survey.records++ == 0) {
      for (const auto& [key, value] : record.items()) survey.keys.push_back(key);
    }
    return Example{};
  });
  const auto has = [&](const std::string& key) {
    return std::find(survey.keys.begin(), survey.keys.end(), key) != survey.keys.end();
  };
  std::string found;
  for (const std::string& key : survey.keys) found += (found.empty() ? "" : ", ") + key;
  for (const RecordShape& shape : record_shapes()) {
    if (!std::all_of(shape.keys.begin(), shape.keys.end(), has)) continue;
    survey.task = shape.task;
    return survey;
  }
  throw Error(concat(path.string(),
                     ": expected records with messages, with instruction and output, with question and "
                     "answer, or with text, found the keys ",
                     found, "; name the task with --task"));
}

}  // namespace loraxs
