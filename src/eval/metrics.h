// eval/metrics.h: scores of predictions against targets, as scikit-learn and SciPy define them.
#pragma once
#include <span>
#include <string>
#include <vector>

namespace loraxs {

/// "accuracy", "f1" (binary: class 1; else macro), "matthews", "pearson", "spearman" (average ranks for ties).
/// For classification both spans hold label indices. Undefined cases (one class only, constant input) are 0, as in
/// scikit-learn for Matthews and F1. Throws Error for an unknown name (near ones listed); sizes must agree and be > 0.
double compute_metric(const std::string& name, std::span<const double> predictions, std::span<const double> targets);

std::vector<std::string> metric_names();
/// Throws Error "WHERE: task.metric: …" for one that is unknown, or of the other kind of task.
void check_metric(const std::string& name, bool regression, const std::string& where);

/// Whether `value` is a better value of the metric than `other`: "loss", the held-out loss of language models, falls;
/// all others rise. NaN is never better, and every number is better than it.
bool is_better(const std::string& metric, double value, double other);

}  // namespace loraxs
