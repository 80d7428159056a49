#include "eval/metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "io/error.h"
#include "io/fields.h"

namespace loraxs {
namespace {

using Values = std::span<const double>;

double accuracy(Values predictions, Values targets) {
  double hits = 0;
  for (size_t i = 0; i < targets.size(); ++i) hits += predictions[i] == targets[i];
  return hits / static_cast<double>(targets.size());
}

double f1_of_class(Values predictions, Values targets, double label) {
  double both = 0, predicted = 0, actual = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    both += predictions[i] == label && targets[i] == label;
    predicted += predictions[i] == label;
    actual += targets[i] == label;
  }
  return predicted + actual == 0 ? 0 : 2 * both / (predicted + actual);
}

double f1(Values predictions, Values targets) {
  std::set<double> labels(targets.begin(), targets.end());
  labels.insert(predictions.begin(), predictions.end());
  const bool binary = std::all_of(labels.begin(), labels.end(), [](double l) { return l == 0 || l == 1; });
  if (binary) return f1_of_class(predictions, targets, 1);
  double sum = 0;
  for (const double label : labels) sum += f1_of_class(predictions, targets, label);
  return sum / static_cast<double>(labels.size());
}

// Gorodkin's multi-class form (2004), which is the binary coefficient for two classes.
double matthews(Values predictions, Values targets) {
  std::map<double, double> predicted, actual;
  double correct = 0;
  const auto n = static_cast<double>(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    correct += predictions[i] == targets[i];
    ++predicted[predictions[i]];
    ++actual[targets[i]];
  }
  double cross = 0, predicted_squares = 0, actual_squares = 0;
  for (const auto& [label, count] : actual) {
    actual_squares += count * count;
    const auto found = predicted.find(label);
    if (found != predicted.end()) cross += count * found->second;
  }
  for (const auto& [label, count] : predicted) predicted_squares += count * count;
  const double denominator = std::sqrt((n * n - predicted_squares) * (n * n - actual_squares));
  return denominator == 0 ? 0 : (correct * n - cross) / denominator;
}

double pearson(Values x, Values y) {
  const auto n = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n,
               mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean_x) * (y[i] - mean_y);
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
  }
  return xx == 0 || yy == 0 ? 0 : xy / std::sqrt(xx * yy);
}

/// Ranks from 1, ties share their average.
std::vector<double> ranks(Values values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) result[order[i]] = (static_cast<double>(begin + end) + 1) / 2;
    begin = end;
  }
  return result;
}

double spearman(Values x, Values y) { return pearson(ranks(x), ranks(y)); }

struct MetricEntry {
  const char* name;
  double (*compute)(Values predictions, Values targets);
  bool regression;
};

constexpr MetricEntry kMetrics[] = {{"accuracy", accuracy, false},
                                    {"f1", f1, false},
                                    {"matthews", matthews, false},
                                    {"pearson", pearson, true},
                                    {"spearman", spearman, true}};

const MetricEntry& find_metric(const std::string& name, const std::string& where = "") {
  for (const MetricEntry& entry : kMetrics) {
    if (name == entry.name) return entry;
  }
  const auto near = nearest_name(name, metric_names());
  std::string known;
  for (const std::string& metric : metric_names()) known += (known.empty() ? "" : ", ") + metric;
  throw Error(concat(where, "metric: expected one of ", known, ", found \"", name, "\"",
                     near ? "; did you mean " + *near + "?" : ""));
}

}  // namespace

double compute_metric(const std::string& name, Values predictions, Values targets) {
  return find_metric(name).compute(predictions, targets);
}

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const MetricEntry& entry : kMetrics) names.emplace_back(entry.name);
  return names;
}

bool is_better(const std::string& metric, double value, double other) {
  if (std::isnan(value) || std::isnan(other)) return !std::isnan(value);
  return metric == "loss" ? value < other : value > other;
}

void check_metric(const std::string& name, bool regression, const std::string& where) {
  const MetricEntry& metric = find_metric(name, where + ": task.");
  if (metric.regression == regression) return;
  throw Error(concat(where, ": task.metric: expected one for ", regression ? "regression" : "classification",
                     ", found ", name));
}

}  // namespace loraxs
