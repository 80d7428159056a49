// Expected values: .venv/bin/python -c with sklearn.metrics (f1_score, matthews_corrcoef) and scipy.stats (pearsonr,
// spearmanr) on the same arrays.
#include "eval/metrics.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace loraxs {
namespace {

using Values = std::vector<double>;

TEST(MetricsTest, EqualScikitLearnAndScipy) {
  const Values p = {0, 1, 1, 0, 1, 0, 0, 1}, t = {0, 1, 0, 0, 1, 1, 0, 1};
  EXPECT_DOUBLE_EQ(compute_metric("accuracy", p, t), 0.75);
  EXPECT_DOUBLE_EQ(compute_metric("f1", p, t), 0.75);
  EXPECT_DOUBLE_EQ(compute_metric("matthews", p, t), 0.5);
  const Values p3 = {0, 1, 2, 2, 1, 0, 2}, t3 = {0, 2, 2, 1, 1, 0, 0};
  EXPECT_NEAR(compute_metric("f1", p3, t3), 0.5666666666666667, 1e-12);
  EXPECT_NEAR(compute_metric("matthews", p3, t3), 0.375, 1e-12);
  const Values x = {1, 2, 2, 4, 5.5}, y = {1.5, 1, 3, 3, 9};
  EXPECT_NEAR(compute_metric("pearson", x, y), 0.8704546178205639, 1e-12);
  EXPECT_NEAR(compute_metric("spearman", x, y), 0.7631578947368421, 1e-12);
}

TEST(MetricsTest, UndefinedCasesAreZeroAndUnknownNamesAreErrors) {
  const Values ones = {1, 1, 1}, mixed = {0, 1, 1};
  EXPECT_EQ(compute_metric("matthews", ones, mixed), 0);
  EXPECT_EQ(compute_metric("pearson", ones, mixed), 0);
  EXPECT_ERROR(compute_metric("acuracy", ones, mixed), "did you mean accuracy?");
  EXPECT_ERROR(check_metric("acuracy", false, "r.yaml"), "r.yaml: task.metric: expected one of accuracy");
  EXPECT_ERROR(check_metric("pearson", false, "r.yaml"), "r.yaml: task.metric: expected one for classification");
  EXPECT_ERROR(check_metric("f1", true, "r.yaml"), "r.yaml: task.metric: expected one for regression, found f1");
  EXPECT_NO_THROW(check_metric("f1", false, "r.yaml"));
}

TEST(MetricsTest, ANumberIsBetterThanNone) {
  const double none = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const char* metric : {"accuracy", "loss"}) {
    SCOPED_TRACE(metric);
    for (const double value : {-infinity, -1.0, 0.0, 1.0, infinity}) {
      EXPECT_TRUE(is_better(metric, value, none)) << value;
      EXPECT_FALSE(is_better(metric, none, value)) << value;
      EXPECT_FALSE(is_better(metric, value, value)) << value;
    }
    EXPECT_FALSE(is_better(metric, none, none));
  }
  EXPECT_TRUE(is_better("accuracy", 2, 1) && !is_better("accuracy", 1, 2));
  EXPECT_TRUE(is_better("loss", 1, 2) && !is_better("loss", 2, 1));
}

}  // namespace
}  // namespace loraxs
