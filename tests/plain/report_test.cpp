#include <gmock/gmock.h>

#include <cmath>

#include "report/axis.h"
#include "report/chart.h"
#include "report/result_table.h"

namespace loraxs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> tick_texts(const Axis& axis, int count, double least = 0) {
  std::vector<std::string> texts;
  for (const Tick& tick : axis.ticks(count, least)) {
    texts.push_back(tick.text);
  }
  return texts;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

TEST(AxisTest, TicksAreRound) {
  EXPECT_THAT(tick_texts(Axis(0, 20000, 0, false), 4), ElementsAre("0", "5,000", "10,000", "15,000", "20,000"));
  EXPECT_THAT(tick_texts(Axis(0.71, 0.79, 0, false), 4), ElementsAre("0.72", "0.74", "0.76", "0.78"));
  EXPECT_THAT(tick_texts(Axis(1, 3, 0, false), 6, 1), ElementsAre("1", "2", "3"));
}

TEST(AxisTest, LogarithmicTicksArePowersOfTenAndEvenlySpaced) {
  const Axis axis(1000, 100'000'000, 0, true);
  EXPECT_THAT(tick_texts(axis, 6), ElementsAre("1K", "10K", "100K", "1M", "10M", "100M"));
  EXPECT_NEAR(axis.place(10'000) - axis.place(1'000), axis.place(100'000'000) - axis.place(10'000'000), 1e-12);
  EXPECT_THAT(tick_texts(Axis(1000, 20'000, 0, true), 6), ElementsAre("1K", "2K", "5K", "10K", "20K"));
  EXPECT_THAT(tick_texts(Axis(5808, 6144, 0, true), 6), ElementsAre("2K", "5K", "10K"));
  EXPECT_NEAR(Axis(5808, 6144, 0, true).place(6144), 0.512, 0.001);
}

TEST(ChartTest, ASinglePointIsDrawnAsAPoint) {
  const std::string svg = svg_chart({.title = "t", .x_label = "x", .curves = {{.name = "one", .points = {{3, 0.5}}}}});
  EXPECT_THAT(svg, Not(HasSubstr("<polyline")));
  EXPECT_EQ(count_of(svg, "<circle"), 2U);  // the point and its place in the legend
}

TEST(ChartTest, ErrorsAndLabelsAreDrawn) {
  const std::string svg = svg_chart({.title = "a & b",
                                     .x_label = "x",
                                     .curves = {{.name = "c", .points = {{10, 1, 0.5, "r = 4"}, {1000, 2, 0, ""}}}},
                                     .logarithmic_x = true});
  EXPECT_THAT(svg, HasSubstr("a &amp; b"));
  EXPECT_THAT(svg, HasSubstr(">r = 4</text>"));
  EXPECT_EQ(count_of(svg, "<path"), 1U);
  EXPECT_EQ(count_of(svg, "<polyline"), 1U);
}

TEST(ChartTest, WhatCannotBeDrawnIsLeftOut) {
  const Curve curve{.name = "c", .points = {{0, 1}, {1, NAN}, {-3, 2}}};
  EXPECT_EQ(svg_chart({.title = "t", .x_label = "x", .curves = {curve}, .logarithmic_x = true}), "");
  EXPECT_EQ(count_of(svg_chart({.title = "t", .x_label = "x", .curves = {curve}}), "<circle"), 2U);
}

TEST(ResultTableTest, TextAndNumbersComeBackFromCsv) {
  const ResultTable table{.columns = {{"arm"}, {"score", true}, {"parameters"}},
                          .rows = {{"a, \"b\"", {0.9035, 0.00125}, 61440.0}, {"none", {}, {}}}};
  EXPECT_EQ(table_csv(table), "arm,score,score error,parameters\n\"a, \"\"b\"\"\",0.9035,0.00125,61440\nnone,,,\n");
  EXPECT_THAT(table_markdown(table), HasSubstr("| 0.9035 ± 0.0013 | 61440 |"));
}

}  // namespace
}  // namespace loraxs
