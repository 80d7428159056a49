// io/chart.h: curves as inline SVG, and self-contained pages around them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace loraxs {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // (step, layer or weight, value)
  bool dashed = false;                            // drawn beside for comparison
  int colour = -1;                                // of curves that belong together; below 0: its own
};

/// One chart as inline SVG: axes with round ticks, below them a legend of as many lines as it takes, every point
/// labelled for screen readers. Empty without points.
std::string svg_chart(const std::string& title, const std::string& x_label, const std::vector<Curve>& curves);

std::string escape_html(const std::string& text);
/// Four digits: "0.7751".
std::string short_number(double value);

/// A page of its own, style included; `body` is HTML, the rest is text.
std::string html_page(const std::string& title, const std::string& lead, const std::string& body);
/// A table: `header` above, unless it is empty; with `emphasised` one of the rows stands out.
std::string html_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                       size_t emphasised = SIZE_MAX);
/// Charts side by side, as wide as the page has room; those without points are left out.
std::string html_charts(const std::vector<std::string>& charts);

}  // namespace loraxs
