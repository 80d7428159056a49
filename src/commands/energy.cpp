#include "commands/energy.h"

#include <array>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "api/energy_study.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "commands/task_section.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "report/chart.h"
#include "report/page.h"

namespace loraxs {
namespace {

constexpr std::array kColumns = {"weight",      "random",     "rank²/(out·in)", "gradient",   "weight/random",
                                 "output cos²", "input cos²", "output angle",   "input angle"};
constexpr size_t kShares = 5;  // the first columns

std::vector<double> values_of(const CapturedEnergy& e) {
  return {e.weight,       e.random,        e.expected_random, e.gradient,   e.weight / e.expected_random,
          e.left_overlap, e.right_overlap, e.left_angle,      e.right_angle};
}

nlohmann::json to_json(const SiteEnergy& row) {
  const CapturedEnergy& e = row.energy;
  return {{"site", row.site.name},
          {"out_features", row.site.out_features},
          {"in_features", row.site.in_features},
          {"weight", e.weight},
          {"random", e.random},
          {"expected_random", e.expected_random},
          {"gradient", e.gradient},
          {"left_overlap", e.left_overlap},
          {"right_overlap", e.right_overlap},
          {"left_angle", e.left_angle},
          {"right_angle", e.right_angle}};
}

/// Beside every projection the mean over a module's layers as "all MODULE": geometric of shares, plain of angles.
std::vector<std::pair<std::string, std::vector<double>>> table_rows(const EnergyStudy& study) {
  std::vector<std::pair<std::string, std::vector<double>>> rows;
  std::map<std::string, std::vector<std::vector<double>>> modules;
  for (const SiteEnergy& row : study.sites) {
    rows.emplace_back(row.site.name, values_of(row.energy));
    modules[row.site.module].push_back(rows.back().second);
  }
  for (const auto& [module, all] : modules) {
    std::vector<double> means(kColumns.size());
    for (size_t c = 0; c < means.size(); ++c) {
      const bool share = c < kShares;
      for (const std::vector<double>& values : all) {
        means[c] += (share ? std::log(values[c]) : values[c]) / static_cast<double>(all.size());
      }
      if (share) means[c] = std::exp(means[c]);
    }
    rows.emplace_back("all " + module, means);
  }
  return rows;
}

std::string report_of(const EnergyStudy& study, const StudyOptions& options) {
  std::vector<std::string> order;  // of modules, as a layer has them
  std::map<std::string, std::vector<Curve>> modules;
  for (const SiteEnergy& row : study.sites) {
    std::vector<Curve>& curves = modules[row.site.module];
    if (curves.empty()) order.push_back(row.site.module);
    if (curves.empty()) {
      curves = {{.name = "gradient's own"},
                {.name = "of the weight"},
                {.name = "random"},
                {.name = "r²/(mn)", .dashed = true}};
    }
    const CapturedEnergy& e = row.energy;
    const double shares[] = {e.gradient, e.weight, e.random, e.expected_random};
    for (size_t i = 0; i < curves.size(); ++i) {
      if (shares[i] > 0) curves[i].points.emplace_back(static_cast<double>(row.site.layer), std::log10(shares[i]));
    }
  }
  std::vector<std::string> charts;
  charts.reserve(order.size());
  for (const std::string& module : order) {
    charts.push_back(
        svg_chart({.title = module + ": log10 of the captured share", .x_label = "layer", .curves = modules[module]}));
  }
  std::string table = "<h2>Numbers</h2><table><tr><th>projection</th>";
  for (const char* column : kColumns) table += "<th>" + escape_html(column) + "</th>";
  table += "</tr>\n";
  for (const auto& [name, values] : table_rows(study)) {
    table += "<tr><td>" + escape_html(name) + "</td>";
    for (const double value : values) table += "<td>" + short_number(value) + "</td>";
    table += "</tr>\n";
  }
  return html_page(
      "Captured energy of the task gradient",
      concat(options.adapter.model, ", ", options.task.name, ", ", study.examples, " examples (loss ",
             short_number(study.loss), "), rank ", options.rank,
             ": the share of the squared norm of each projection's full gradient that lies in S = {b R a}, for "
             "a and b from the weight's SVD (LoRA-XS), random, and from the gradient itself."),
      html_charts(charts) + table + "</table>");
}

}  // namespace

int run_energy(const StudyOptions& options, const CommonOptions& common) {
  const std::pair<const char*, const std::string*> needed[] = {
      {"--model", &options.adapter.model}, {"--task", &options.task.name}, {"--data", &options.task.data}};
  for (const auto& [name, value] : needed) {
    if (value->empty()) throw Error(concat("study energy: ", name, ": expected one, found none"));
  }
  if (!options.recipes.empty()) {
    throw Error(
        concat("study energy: expected --model, --task and --data, found the recipe ", options.recipes.front()));
  }
  if (!options.report.empty()) refuse_existing(options.report, "--report");
  check_task_name(options.task);
  const Settings settings = settings_of(common);
  const BaseModel model = open_model(options.adapter.model, settings);
  std::optional<OpenedAdapter> adapter;
  if (!options.adapter.adapter.empty()) {
    adapter = open_adapter_on_model(model, options.adapter.adapter, open_options_of(options.adapter), settings);
  }
  const Task task = task_of(options.task, adapter ? adapter->file.labels : std::vector<std::string>(), Splits::kAll);
  Progress progress(settings.log);
  progress.begin("gradient");
  const EnergyStudy study = study_energy(
      model, adapter, task,
      {.rank = options.rank, .examples = options.examples, .max_length = options.max_length, .seed = options.seed});
  if (!options.report.empty()) write_file_atomically(options.report, report_of(study, options));
  if (common.json) {
    for (const SiteEnergy& row : study.sites) std::cout << to_json(row).dump() << '\n';
    return 0;
  }
  const bool csv = options.format == "csv";
  const std::string between = csv ? "," : " | ", edge = csv ? "" : "| ";
  const auto line = [&](const std::string& name, const std::vector<std::string>& cells) {
    std::cout << edge << name;
    for (const std::string& cell : cells) std::cout << between << cell;
    std::cout << (csv ? "\n" : " |\n");
  };
  line("projection", {kColumns.begin(), kColumns.end()});
  if (!csv) line("---", std::vector<std::string>(kColumns.size(), "---"));
  for (const auto& [name, values] : table_rows(study)) {
    std::vector<std::string> cells;
    cells.reserve(values.size());
    for (const double value : values) cells.push_back(short_number(value));
    line(name, cells);
  }
  return 0;
}

}  // namespace loraxs
