#include "train/fleet_summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "report/page.h"

namespace loraxs {
namespace {

constexpr double kHour = 3600;

nlohmann::json spread_of(std::vector<double> values) {
  if (values.empty()) return nullptr;
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (const double value : values) sum += value;
  nlohmann::json spread = {{"jobs", values.size()}, {"mean", sum / static_cast<double>(values.size())}};
  constexpr std::array<std::pair<const char*, double>, 5> kShares = {
      {{"min", 0}, {"p10", 0.1}, {"median", 0.5}, {"p90", 0.9}, {"max", 1}}};
  for (const auto& [name, share] : kShares) {
    spread[name] = values[static_cast<size_t>(std::llround(share * static_cast<double>(values.size() - 1)))];
  }
  return spread;
}

/// Visits the lines of jobs.jsonl.
template <typename Visit>
void for_each_line(const std::filesystem::path& lines, Visit visit) {
  const auto file = MappedFile::open(lines);
  const std::string_view text = file->text();
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const nlohmann::json line = json_or_null(text.substr(begin, end - begin));
    begin = end + 1;
    if (line.is_object()) visit(line);
  }
}

std::vector<double> scores_in(const std::filesystem::path& lines, const std::string& score) {
  std::vector<double> scores;
  for_each_line(lines, [&](const nlohmann::json& line) {
    if (line.contains(score) && line[score].is_number()) scores.push_back(line[score]);
  });
  return scores;
}

/// Jobs by score, ten steps from the least to the most, each as a bar.
std::vector<std::vector<std::string>> histogram(const std::vector<double>& scores) {
  constexpr size_t kSteps = 10, kWidest = 60;
  std::vector<std::vector<std::string>> rows;
  if (scores.empty()) return rows;
  const auto [least, most] = std::minmax_element(scores.begin(), scores.end());
  const double low = *least, width = (*most - low) / kSteps;
  std::vector<size_t> counts(width > 0 ? kSteps : 1);
  for (const double score : scores) {
    const auto step = width > 0 ? static_cast<size_t>((score - low) / width) : 0;
    ++counts[std::min(step, counts.size() - 1)];
  }
  const size_t largest = *std::max_element(counts.begin(), counts.end());
  rows.reserve(counts.size());
  for (size_t step = 0; step < counts.size(); ++step) {
    const double from = low + width * static_cast<double>(step);
    std::string bar;
    for (size_t i = 0; i < counts[step] * kWidest / largest; ++i) bar += "█";
    rows.push_back({concat(short_number(from), " to ", short_number(from + width)), std::to_string(counts[step]), bar});
  }
  return rows;
}

double rate(int64_t count, double seconds) { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }

}  // namespace

nlohmann::json summarize_fleet(const FleetCounts& counts, const std::filesystem::path& lines,
                               const std::string& score) {
  return {{"kind", "fleet"},
          {"jobs", counts.jobs},
          {"done", counts.done},
          {"kept", counts.kept},
          {"failed", counts.failed},
          {"rounds", counts.rounds},
          {"steps", counts.steps},
          {"sentences", counts.sentences},
          {"tokens", counts.tokens},
          {"train_seconds", counts.seconds},
          {"adapters_per_hour", rate(counts.done - counts.kept, counts.seconds / kHour)},
          {"sentences_per_second", rate(counts.sentences, counts.seconds)},
          {"tokens_per_second", rate(counts.tokens, counts.seconds)},
          {"metric", score},
          {"scores", spread_of(scores_in(lines, score))}};
}

void write_fleet_report(const std::filesystem::path& run, const nlohmann::json& summary) {
  const std::filesystem::path lines = run / "jobs.jsonl";
  const std::string metric = summary.at("metric");
  std::vector<std::vector<std::string>> rows;
  for (const char* key : {"jobs", "done", "kept", "failed", "rounds", "steps", "sentences", "tokens"}) {
    rows.push_back({key, summary.at(key).dump()});
  }
  for (const char* key : {"train_seconds", "adapters_per_hour", "sentences_per_second"}) {
    rows.push_back({key, short_number(summary.at(key))});
  }
  constexpr size_t kMostFailures = 200;
  std::vector<std::vector<std::string>> failures;
  for_each_line(lines, [&](const nlohmann::json& line) {
    if (line.value("status", "") != "failed" || failures.size() == kMostFailures) return;
    failures.push_back({line.value("tenant", "") + "/" + line.value("name", ""), line.value("error", "")});
  });
  const std::string recipe(MappedFile::open(run / "recipe.yaml")->text());
  const std::vector<double> scores = scores_in(lines, metric);
  const std::string body =
      concat(scores.empty() ? ""
                            : concat("<h2>", metric, " of users on their own held-out examples</h2>",
                                     html_table({metric, "users", ""}, histogram(scores))),
             "<h2>Result</h2>", html_table({}, rows),
             failures.empty() ? "" : concat("<h2>Failed</h2>", html_table({"user", "why"}, failures)),
             "<h2>Recipe</h2><pre>", escape_html(recipe), "</pre>");
  write_file_atomically(run / "report.html",
                        html_page(run.filename().string(), "Adapters of many users, trained over one base.", body),
                        Existing::kReplaced);
}

std::string fleet_text(const nlohmann::json& summary) {
  std::ostringstream text;
  text << summary.at("done") << " of " << summary.at("jobs") << " adapters";
  if (summary.at("kept") != 0) text << ", " << summary.at("kept") << " of them trained before";
  if (summary.at("failed") != 0) text << ", " << summary.at("failed") << " failed (jobs.jsonl says why)";
  text << '\n';
  const nlohmann::json& scores = summary.at("scores");
  if (!scores.is_null()) {
    text << std::setprecision(4) << summary.at("metric").get<std::string>() << " of " << scores.at("jobs")
         << " jobs: mean " << scores.at("mean").get<double>() << ", p10 " << scores.at("p10").get<double>()
         << ", median " << scores.at("median").get<double>() << ", p90 " << scores.at("p90").get<double>() << '\n';
  }
  text << "speed: " << std::llround(summary.at("adapters_per_hour").get<double>()) << " adapters/h, "
       << std::llround(summary.at("sentences_per_second").get<double>()) << " sentences/s\n";
  return text.str();
}

}  // namespace loraxs
