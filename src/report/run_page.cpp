#include "report/run_page.h"

#include <utility>

#include "io/error.h"
#include "report/page.h"

namespace loraxs {
namespace {

/// The charts of a run and one beside it. Where the score is the loss on held-out data, it stands with the training's.
class RunCharts {
 public:
  explicit RunCharts(std::string metric) : metric_(std::move(metric)), joined_(metric_ == "loss") {}

  void add(const RunCurves& curves) {
    const bool beside = !curves.run.empty();
    const std::string suffix = beside ? " (" + curves.run + ")" : "";
    for (const auto& [job, curve] : curves.loss) {
      put(loss_, curve, (joined_ ? "training, " : "") + job + suffix, beside, colour_of(job + suffix));
    }
    for (const auto& [job, curve] : curves.score) {
      put(joined_ ? loss_ : score_, curve, (joined_ ? "validation, " : "") + job + suffix, joined_ || beside,
          colour_of(job + suffix));
    }
  }

  std::string html() const {
    return html_charts({svg_chart({.title = metric_ + " on validation data", .x_label = "step", .curves = score_}),
                        svg_chart({.title = joined_ ? "loss" : "training loss", .x_label = "step", .curves = loss_})});
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

std::string samples_table(const TextRows& samples) {
  constexpr size_t kMost = 200;
  if (samples.empty()) {
    return "";
  }
  const auto skipped = static_cast<std::ptrdiff_t>(samples.size() > kMost ? samples.size() - kMost : 0);
  return concat(
      "<h2>Samples</h2>", html_table({"epoch", "job", "prompt", "answer"}, {samples.begin() + skipped, samples.end()}),
      skipped > 0 ? concat("<p>The last ", kMost, " of ", samples.size(), "; all are in metrics.jsonl.</p>") : "");
}

}  // namespace

std::string run_page(const RunPage& page) {
  RunCharts charts(page.metric);
  for (const RunCurves& curves : page.curves) {
    charts.add(curves);
  }
  return html_page(page.title, page.lead,
                   concat(charts.html(), "<h2>Result</h2>", html_table({}, page.result), "<h2>Settings and seeds</h2>",
                          html_table(page.settings_header, page.settings, page.chosen), samples_table(page.samples),
                          "<h2>Recipe</h2><pre>", escape_html(page.recipe), "</pre>"));
}

}  // namespace loraxs
