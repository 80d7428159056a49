#include "train/report.h"

#include <algorithm>
#include <map>

#include "io/atomic_file.h"
#include "io/chart.h"
#include "io/error.h"
#include "io/json.h"
#include "io/mapped_file.h"

namespace loraxs {
namespace {

struct RunCurves {
  std::vector<Curve> loss, score;
  std::string metric;
};

RunCurves read_curves(const std::filesystem::path& run, const std::string& metric, bool beside) {
  std::map<std::string, Curve> loss, score;
  const auto file = MappedFile::open(run / "metrics.jsonl");
  std::string_view text = file->text();
  const std::string suffix = beside ? " (" + run.filename().string() + ")" : "";
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const auto event = json_or_null(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!event.is_object()) continue;
    if (event["event"] == "step") {
      for (const auto& [job, value] : event["loss"].items()) {
        if (value.is_number()) loss[job].points.emplace_back(event["step"].get<double>(), value.get<double>());
      }
    } else if (event["event"] == "evaluation" && event.contains(metric) && event[metric].is_number()) {
      score[event["job"].get<std::string>()].points.emplace_back(event["step"].get<double>(),
                                                                 event[metric].get<double>());
    }
  }
  RunCurves curves{.metric = metric};
  const auto collect = [&](std::map<std::string, Curve>& from, std::vector<Curve>& into) {
    for (auto& [job, curve] : from) {
      curve.name = job + suffix;
      curve.dashed = beside;
      into.push_back(std::move(curve));
    }
  };
  collect(loss, curves.loss);
  collect(score, curves.score);
  return curves;
}

}  // namespace

void write_run_report(const std::filesystem::path& run, const nlohmann::json& done, const std::filesystem::path& beside,
                      const std::vector<std::pair<std::string, std::string>>& notes) {
  const std::string metric = done["metric"];
  RunCurves curves = read_curves(run, metric, /*beside=*/false);
  if (!beside.empty()) {
    RunCurves other = read_curves(beside, metric, /*beside=*/true);
    curves.loss.insert(curves.loss.end(), other.loss.begin(), other.loss.end());
    curves.score.insert(curves.score.end(), other.score.begin(), other.score.end());
  }
  std::string rows;
  const auto row = [&](const std::string& name, const std::string& value) {
    rows += "<tr><th>" + escape_html(name) + "</th><td>" + escape_html(value) + "</td></tr>\n";
  };
  row(metric + ", median over seeds of the best epoch",
      done["value"].is_null() ? "no validation data" : short_number(done["value"]));
  row("trained parameters in the adapter", done["trained_parameters"].dump());
  row("trained parameters in the head", done["head_parameters"].dump());
  row("adapter file", done["adapter_bytes"].dump() + " bytes");
  row("sentences per second", short_number(done["sentences_per_second"]));
  row("real tokens per second", short_number(done["tokens_per_second"]));
  row("peak memory", short_number(done["peak_memory_bytes"].get<double>() / 1e6) + " MB");
  for (const auto& [name, value] : notes) row(name, value);
  const std::string recipe(MappedFile::open(run / "recipe.yaml")->text());
  const std::string body =
      concat(html_charts({svg_chart(metric, "step", curves.score), svg_chart("training loss", "step", curves.loss)}),
             "<h2>Result</h2><table>", rows, "</table><h2>Recipe</h2><pre>", escape_html(recipe), "</pre>");
  const std::string html = html_page(run.filename().string(),
                                     "A LoRA-XS training run: only R [rank, rank] of every adapted projection and the "
                                     "task head were trained.",
                                     body);
  write_file_atomically(run / "report.html", html, Existing::kReplaced);
}

}  // namespace loraxs
