#include "train/report.h"

#include <algorithm>

#include "adapt/method.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "report/page.h"
#include "report/run_page.h"

namespace loraxs {
namespace {

/// What metrics.jsonl tells of a run.
struct RunHistory {
  RunCurves curves;
  TextRows samples;  // epoch, job, prompt, answer
};

RunHistory read_history(const std::filesystem::path& run, const std::string& metric) {
  RunHistory history;
  const std::string key = score_key(metric);
  const auto file = MappedFile::open(run / "metrics.jsonl");
  std::string_view text = file->text();
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const auto event = json_or_null(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!event.is_object()) continue;
    const std::string kind = event.value("event", "");
    if (kind == "step") {
      for (const auto& [job, value] : event["loss"].items()) {
        if (value.is_number())
          history.curves.loss[job].points.emplace_back(event["step"].get<double>(), value.get<double>());
      }
    } else if (kind == "evaluation" && event.contains(key) && event[key].is_number()) {
      history.curves.score[event["job"].get<std::string>()].points.emplace_back(event["step"].get<double>(),
                                                                                event[key].get<double>());
    } else if (kind == "sample") {
      history.samples.push_back({event["epoch"].dump(), event["job"].get<std::string>(),
                                 event["prompt"].get<std::string>(), event["text"].get<std::string>()});
    }
  }
  return history;
}

/// Which numbers were trained, in the method's own words.
std::string lead_of(const nlohmann::json& done) {
  const std::string name = done.at("method");
  const bool head = done.at("head_parameters").get<int64_t>() > 0;
  if (name == "head only") return "A training of the task head alone, on the frozen model.";
  return concat("A training of ", name, " on ", done.at("task").get<std::string>(), ": ",
                find_method(name, "report").meaning, head ? ", and the task head." : ".");
}

std::string number_or(const nlohmann::json& value, const char* otherwise) {
  return value.is_number() ? short_number(value) : otherwise;
}

/// Each setting of the grid with its seeds; the chosen one stands out.
void fill_settings(const nlohmann::json& done, RunPage& page) {
  const bool head = done.at("head_parameters").get<int64_t>() > 0;
  std::vector<std::string> header = {"learning rate"};
  if (head) header.emplace_back("of the head");
  header.insert(header.end(), {"seed", page.metric, "best epoch", "median of the setting", "spread"});
  TextRows rows;
  size_t chosen = SIZE_MAX;
  for (const nlohmann::json& setting : done.at("settings")) {
    const bool is_chosen = chosen == SIZE_MAX && setting.at("learning_rate") == done.at("learning_rate") &&
                           setting.at("head_learning_rate") == done.at("head_learning_rate");
    bool first = true;
    for (const nlohmann::json& seed : setting.at("seeds")) {
      if (is_chosen && first) chosen = rows.size();
      std::vector<std::string> row = {first ? short_number(setting.at("learning_rate")) : ""};
      if (head) row.push_back(first ? short_number(setting.at("head_learning_rate")) : "");
      const int64_t epoch = seed.at("best_epoch");
      const bool ended = seed.contains("ended");
      row.push_back(seed.at("seed").dump());
      row.push_back(number_or(seed.at("value"), ended ? "ended" : "none"));
      row.push_back(epoch > 0 ? std::to_string(epoch)
                    : ended   ? seed.at("ended").at("reason").get<std::string>()
                              : "last");
      row.push_back(first ? number_or(setting.at("value"), "none") : "");
      row.push_back(first ? number_or(setting.at("standard_deviation"), "") : "");
      rows.push_back(std::move(row));
      first = false;
    }
  }
  page.settings_header = std::move(header);
  page.settings = std::move(rows);
  if (done.at("settings").size() > 1) page.chosen = chosen;
}

}  // namespace

void write_run_report(const std::filesystem::path& run, const nlohmann::json& done, const std::filesystem::path& beside,
                      const std::vector<std::pair<std::string, std::string>>& notes) {
  const std::string metric = done.at("metric");
  RunHistory history = read_history(run, metric);
  RunPage page{.title = run.filename().string(),
               .lead = lead_of(done),
               .metric = metric,
               .curves = {std::move(history.curves)},
               .samples = std::move(history.samples),
               .recipe = std::string(MappedFile::open(run / "recipe.yaml")->text())};
  if (!beside.empty()) {
    page.curves.push_back(read_history(beside, metric).curves);
    page.curves.back().run = beside.filename().string();
  }
  TextRows& rows = page.result;
  rows = {{metric + ", median over seeds of the best epoch", number_or(done.at("value"), "no validation data")},
          {"trained numbers in the adapter", done.at("trained_parameters").dump()}};
  if (done.at("head_parameters") > 0)
    rows.push_back({"trained numbers in the head", done.at("head_parameters").dump()});
  rows.push_back({"adapter file", done.at("adapter_bytes").dump() + " bytes"});
  rows.push_back({"examples per second", short_number(done.at("sentences_per_second"))});
  rows.push_back({"tokens per second", short_number(done.at("tokens_per_second"))});
  rows.push_back({"peak memory", short_number(done.at("peak_memory_bytes").get<double>() / 1e6) + " MB"});
  for (const auto& [name, value] : notes) rows.push_back({name, value});
  fill_settings(done, page);
  write_file_atomically(run / "report.html", run_page(page), Existing::kReplaced);
}

}  // namespace loraxs
