// report/chart.h: curves and points as inline SVG.
#pragma once
#include <string>
#include <vector>

namespace loraxs {

struct ChartPoint {
  double x = 0, y = 0;
  double error = 0;   // of y: a bar of so much above and below; 0 = none
  std::string label;  // written beside the point; empty = none
};

struct Curve {
  std::string name;
  std::vector<ChartPoint> points;  // (step, layer or weight, value)
  bool dashed = false;             // drawn beside for comparison; its points are hollow
  bool joined = true;              // by a line; else points alone
  int colour = -1;                 // of curves that belong together; below 0: its own
};

struct Chart {
  std::string title, x_label;
  std::vector<Curve> curves;
  bool logarithmic_x = false;  // points at x <= 0 are left out
  std::string y_label;         // empty = the title says it
};

/// One chart as inline SVG: axes with round ticks, below them a legend of as many lines as it takes, every point
/// labelled for screen readers. A curve of one point is a point. Points that are not finite are left out; empty without
/// any.
std::string svg_chart(const Chart& chart);
/// The same as a file of its own: with style and size.
std::string svg_file(const Chart& chart);

}  // namespace loraxs
