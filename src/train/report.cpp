#include "train/report.h"

#include <algorithm>
#include <map>

#include "adapt/method.h"
#include "io/atomic_file.h"
#include "io/chart.h"
#include "io/error.h"
#include "io/json.h"
#include "io/mapped_file.h"

namespace loraxs {
namespace {

using Rows = std::vector<std::vector<std::string>>;

/// What metrics.jsonl tells of a run.
struct RunHistory {
  std::map<std::string, Curve> loss, score;  // by job
  Rows samples;                              // epoch, job, prompt, answer
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
        if (value.is_number()) history.loss[job].points.emplace_back(event["step"].get<double>(), value.get<double>());
      }
    } else if (kind == "evaluation" && event.contains(key) && event[key].is_number()) {
      history.score[event["job"].get<std::string>()].points.emplace_back(event["step"].get<double>(),
                                                                         event[key].get<double>());
    } else if (kind == "sample") {
      history.samples.push_back({event["epoch"].dump(), event["job"].get<std::string>(),
                                 event["prompt"].get<std::string>(), event["text"].get<std::string>()});
    }
  }
  return history;
}

/// The charts of a run and one beside it. Where the score is the loss on held-out data, it stands with the training's.
class Charts {
 public:
  explicit Charts(std::string metric) : metric_(std::move(metric)), joined_(metric_ == "loss") {}

  void add(const RunHistory& history, const std::string& of_run) {
    const std::string suffix = of_run.empty() ? "" : " (" + of_run + ")";
    for (const auto& [job, curve] : history.loss) {
      put(loss_, curve, (joined_ ? "training, " : "") + job + suffix, !of_run.empty(), colour_of(job + suffix));
    }
    for (const auto& [job, curve] : history.score) {
      put(joined_ ? loss_ : score_, curve, (joined_ ? "validation, " : "") + job + suffix, joined_ || !of_run.empty(),
          colour_of(job + suffix));
    }
  }

  std::string html() const {
    return html_charts({svg_chart(metric_ + " on validation data", "step", score_),
                        svg_chart(joined_ ? "loss" : "training loss", "step", loss_)});
  }

 private:
  static void put(std::vector<Curve>& curves, Curve curve, const std::string& name, bool dashed, int colour) {
    curve.name = name;
    curve.dashed = dashed;
    curve.colour = colour;
    curves.push_back(std::move(curve));
  }
  int colour_of(const std::string& job) {
    return colours_.emplace(job, static_cast<int>(colours_.size())).first->second;
  }

  std::string metric_;
  bool joined_;
  std::vector<Curve> loss_, score_;
  std::map<std::string, int> colours_;
};

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
std::string settings_table(const nlohmann::json& done, const std::string& metric) {
  const bool head = done.at("head_parameters").get<int64_t>() > 0;
  std::vector<std::string> header = {"learning rate"};
  if (head) header.emplace_back("of the head");
  header.insert(header.end(), {"seed", metric, "best epoch", "median of the setting", "spread"});
  Rows rows;
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
  return html_table(header, rows, done.at("settings").size() > 1 ? chosen : SIZE_MAX);
}

std::string samples_table(Rows samples) {
  constexpr size_t kMost = 200;
  const size_t all = samples.size();
  if (all > kMost) samples.erase(samples.begin(), samples.end() - kMost);
  return concat("<h2>Samples</h2>", html_table({"epoch", "job", "prompt", "answer"}, samples),
                all > kMost ? concat("<p>The last ", kMost, " of ", all, "; all are in metrics.jsonl.</p>") : "");
}

}  // namespace

void write_run_report(const std::filesystem::path& run, const nlohmann::json& done, const std::filesystem::path& beside,
                      const std::vector<std::pair<std::string, std::string>>& notes) {
  const std::string metric = done.at("metric");
  const RunHistory history = read_history(run, metric);
  Charts charts(metric);
  charts.add(history, "");
  if (!beside.empty()) charts.add(read_history(beside, metric), beside.filename().string());
  Rows rows = {{metric + ", median over seeds of the best epoch", number_or(done.at("value"), "no validation data")},
               {"trained numbers in the adapter", done.at("trained_parameters").dump()}};
  if (done.at("head_parameters") > 0)
    rows.push_back({"trained numbers in the head", done.at("head_parameters").dump()});
  rows.push_back({"adapter file", done.at("adapter_bytes").dump() + " bytes"});
  rows.push_back({"examples per second", short_number(done.at("sentences_per_second"))});
  rows.push_back({"tokens per second", short_number(done.at("tokens_per_second"))});
  rows.push_back({"peak memory", short_number(done.at("peak_memory_bytes").get<double>() / 1e6) + " MB"});
  for (const auto& [name, value] : notes) rows.push_back({name, value});
  const std::string recipe(MappedFile::open(run / "recipe.yaml")->text());
  const std::string body =
      concat(charts.html(), "<h2>Result</h2>", html_table({}, rows), "<h2>Settings and seeds</h2>",
             settings_table(done, metric), history.samples.empty() ? "" : samples_table(history.samples),
             "<h2>Recipe</h2><pre>", escape_html(recipe), "</pre>");
  write_file_atomically(run / "report.html", html_page(run.filename().string(), lead_of(done), body),
                        Existing::kReplaced);
}

}  // namespace loraxs
