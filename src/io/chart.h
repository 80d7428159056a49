// io/chart.h: curves as inline SVG, and self-contained pages around them.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace loraxs {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // (step, layer or weight, value)
  bool dashed = false;                            // drawn beside for comparison
};

/// One chart as inline SVG: axes with round ticks, a legend, every point labelled for screen readers.
std::string svg_chart(const std::string& title, const std::string& x_label, const std::vector<Curve>& curves);

std::string escape_html(const std::string& text);
/// Four digits: "0.7751".
std::string short_number(double value);

/// A page of its own, style included; `body` is HTML, the rest is text.
std::string html_page(const std::string& title, const std::string& lead, const std::string& body);
/// Charts side by side, as wide as the page has room.
std::string html_charts(const std::vector<std::string>& charts);

}  // namespace loraxs
