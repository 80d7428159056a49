#include "report/chart.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

#include "io/error.h"
#include "report/axis.h"
#include "report/page.h"

namespace loraxs {
namespace {

constexpr double kCharacter = 6.8;  // widest usual letter of the page's 12 px text, in px
constexpr double kWidth = 500, kRight = 22, kTop = 34, kPlot = 204, kAxis = 40, kLine = 18;
constexpr const char* kColours[] = {"#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d"};

/// Where a legend's entry stands.
struct LegendPlace {
  double x;
  int line;
  std::string text;  // the name, cut where a whole line is too short
};

/// One place per curve, from left to right in lines of `width`.
std::vector<LegendPlace> legend_places(const std::vector<Curve>& curves, double width) {
  constexpr double kMark = 28, kGap = 18;
  std::vector<LegendPlace> places;
  places.reserve(curves.size());
  double x = 0;
  int line = 0;
  for (const Curve& curve : curves) {
    const std::string text = shortened(curve.name, static_cast<size_t>((width - kMark) / kCharacter));
    const double taken = kMark + kCharacter * static_cast<double>(text.size());
    if (x > 0 && x + taken > width) {
      x = 0, ++line;
    }
    places.push_back({x, line, text});
    x += taken + kGap;
  }
  return places;
}

/// Steps and layers have no ticks between them.
bool whole_x(const std::vector<Curve>& curves) {
  return std::all_of(curves.begin(), curves.end(), [](const Curve& curve) {
    return std::all_of(curve.points.begin(), curve.points.end(),
                       [](const ChartPoint& point) { return point.x == std::floor(point.x); });
  });
}

/// The curves with what can be drawn of them.
std::vector<Curve> drawable(const Chart& chart) {
  std::vector<Curve> curves = chart.curves;
  for (Curve& curve : curves) {
    std::erase_if(curve.points, [&](const ChartPoint& point) {
      return !std::isfinite(point.x) || !std::isfinite(point.y) || (chart.logarithmic_x && point.x <= 0);
    });
  }
  return curves;
}

struct Box {
  double left, right, top, bottom;
  bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

/// Labels that keep clear of points and of each other, each nearer to its own point than to any other. One that finds
/// no such place is left out: the point's title says it.
class Labels {
 public:
  Labels(double left, double right, double top, double bottom) : frame_{left, right, top, bottom} {}

  void add_point(double x, double y) {
    points_.emplace_back(x, y);
    taken_.push_back({x - 4, x + 4, y - 4, y + 4});
  }

  std::string text(double x, double y, const std::string& label) {
    constexpr double kSmall = 6.0, kHalf = 6;  // width of a letter, half of a line
    const double width = kSmall * static_cast<double>(label.size());
    for (const double away : {0.0, 13.0, 26.0}) {  // further where it is crowded
      const double above = y - 12 - away, below = y + 14 + away;
      const std::pair<double, double> candidates[] = {
          {x - width / 2, above}, {x - width / 2, below}, {x + 8 + away, y},      {x - width - 8 - away, y},
          {x + 6, above},         {x + 6, below},         {x - width - 6, above}, {x - width - 6, below}};
      for (const auto& [left, middle] : candidates) {
        const Box box = {left, left + width, middle - kHalf, middle + kHalf};
        if (!is_free(box) || !is_nearest(x, y, left + width / 2, middle)) continue;
        taken_.push_back(box);
        return concat("<text class=\"label\" x=\"", left, "\" y=\"", middle + 4, "\">", escape_html(label), "</text>");
      }
    }
    return {};
  }

 private:
  bool is_free(const Box& box) const {
    return box.left >= frame_.left && box.right <= frame_.right && box.top >= frame_.top &&
           box.bottom <= frame_.bottom &&
           std::none_of(taken_.begin(), taken_.end(), [&](const Box& other) { return box.meets(other); });
  }
  /// Whether of all points (x, y) is the nearest to the middle of a label.
  bool is_nearest(double x, double y, double label_x, double label_y) const {
    const double own = std::hypot(x - label_x, y - label_y);
    return std::none_of(points_.begin(), points_.end(), [&](const std::pair<double, double>& point) {
      return std::hypot(point.first - label_x, point.second - label_y) < own;
    });
  }

  Box frame_;
  std::vector<std::pair<double, double>> points_;
  std::vector<Box> taken_;
};

/// A curve's points in the order in which their labels take their places: its ends first.
std::vector<const ChartPoint*> by_place(const std::vector<ChartPoint>& points) {
  std::vector<const ChartPoint*> order;
  order.reserve(points.size());
  for (const ChartPoint& point : points) order.push_back(&point);
  if (order.size() > 2) std::rotate(order.begin() + 1, order.end() - 1, order.end());
  return order;
}

std::string line(const char* of_class, double x1, double y1, double x2, double y2) {
  return concat("<line class=\"", of_class, "\" x1=\"", x1, "\" x2=\"", x2, "\" y1=\"", y1, "\" y2=\"", y2, "\"/>");
}

std::string text(const char* anchor, double x, double y, const std::string& of_text) {
  return concat("<text text-anchor=\"", anchor, "\" x=\"", x, "\" y=\"", y, "\">", escape_html(of_text), "</text>");
}

constexpr const char* kFileStyle =
    "text{fill:#475569;font:12px system-ui,sans-serif}.title{fill:#0f172a;font-weight:600;font-size:14px}"
    ".label{font-size:11px;fill:#0f172a}.grid{stroke:#e2e8f0}.axis{stroke:#64748b}";

}  // namespace

std::string svg_chart(const Chart& chart) {
  const std::vector<Curve> curves = drawable(chart);
  double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
  for (const Curve& curve : curves) {
    for (const ChartPoint& point : curve.points) {
      x_low = std::min(x_low, point.x), x_high = std::max(x_high, point.x);
      y_low = std::min(y_low, point.y - point.error), y_high = std::max(y_high, point.y + point.error);
    }
  }
  if (!(x_low <= x_high)) {
    return "";
  }
  const bool labelled = std::any_of(curves.begin(), curves.end(), [](const Curve& curve) {
    return std::any_of(curve.points.begin(), curve.points.end(),
                       [](const ChartPoint& point) { return !point.label.empty(); });
  });
  const Axis x_axis(x_low, x_high, labelled ? 0.08 : 0, chart.logarithmic_x);
  const Axis y_axis(y_low, y_high, labelled ? 0.12 : 0.06, false);
  const std::vector<Tick> y_ticks = y_axis.ticks(5, 0);
  size_t longest = 4;
  for (const Tick& tick : y_ticks) {
    longest = std::max(longest, tick.text.size());
  }
  const double left = 14 + kCharacter * static_cast<double>(longest), right = kWidth - kRight, bottom = kTop + kPlot;
  const std::vector<LegendPlace> legend = legend_places(curves, right - left);
  const double legend_top = bottom + kAxis + kLine / 2;
  const double height = legend_top + kLine * (legend.back().line + 0.5);
  const auto px = [&](double x) { return left + x_axis.place(x) * (right - left); };
  const auto py = [&](double y) { return bottom - y_axis.place(y) * kPlot; };
  const std::string title =
      chart.y_label.empty() || chart.y_label == chart.title ? chart.title : chart.title + ": " + chart.y_label;
  std::string svg =
      concat("<svg viewBox=\"0 0 ", kWidth, " ", height, "\" role=\"img\" aria-label=\"", escape_html(title),
             "\"><text class=\"title\" x=\"", left, "\" y=\"18\">", escape_html(title), "</text>");
  for (const auto& [y, tick] : y_ticks) {
    svg += line("grid", left, py(y), right, py(y)) + text("end", left - 6, py(y) + 4, tick);
  }
  const bool whole = !chart.logarithmic_x && whole_x(curves);
  for (const auto& [x, tick] : x_axis.ticks(6, whole ? 1 : 0)) {
    svg += line("axis", px(x), bottom, px(x), bottom + 4) + text("middle", px(x), bottom + 17, tick);
  }
  svg += line("axis", left, bottom, right, bottom) + line("axis", left, kTop, left, bottom) +
         text("middle", (left + right) / 2, bottom + 33, chart.x_label);
  Labels labels(left, right, kTop - 6, bottom - 2);
  for (const Curve& curve : curves) {
    for (const ChartPoint& point : curve.points) {
      labels.add_point(px(point.x), py(point.y));
    }
  }
  for (size_t i = 0; i < curves.size(); ++i) {
    const Curve& curve = curves[i];
    const char* colour = kColours[(curve.colour < 0 ? i : static_cast<size_t>(curve.colour)) % std::size(kColours)];
    const std::string mark = concat("stroke=\"", colour, "\" fill=\"none\" stroke-width=\"2\"");
    const std::string stroke = mark + (curve.dashed ? " stroke-dasharray=\"6 4\"" : "");
    const bool joined = curve.joined && curve.points.size() > 1;
    std::string points;
    for (const ChartPoint& point : curve.points) {
      points += concat(px(point.x), ",", py(point.y), " ");
    }
    if (joined) {
      svg += concat("<polyline ", stroke, " points=\"", points, "\"><title>", escape_html(curve.name),
                    "</title></polyline>");
    }
    constexpr size_t kMarked = 40;
    for (const ChartPoint& point : curve.points) {
      const double x = px(point.x), y = py(point.y);
      if (point.error > 0) {
        const double high = py(point.y + point.error), low = py(point.y - point.error);
        svg += concat("<path ", mark, " d=\"M", x, " ", high, "V", low, "M", x - 4, " ", high, "h8M", x - 4, " ", low,
                      "h8\"/>");
      }
      if (joined && curve.points.size() > kMarked) {
        continue;
      }
      svg +=
          concat("<circle stroke=\"", colour, "\" stroke-width=\"2\" fill=\"", curve.dashed ? "none" : colour,
                 "\" cx=\"", x, "\" cy=\"", y, "\" r=\"", joined ? 2.5 : 4.0, "\"><title>", escape_html(curve.name),
                 point.label.empty() ? "" : ", " + escape_html(point.label), ": ", short_number(point.x), ", ",
                 short_number(point.y), point.error > 0 ? " ± " + short_number(point.error) : "", "</title></circle>");
    }
    for (const ChartPoint* point : by_place(curve.points)) {
      if (!point->label.empty()) svg += labels.text(px(point->x), py(point->y), point->label);
    }
    const double at = left + legend[i].x, y = legend_top + kLine * legend[i].line;
    if (joined) {
      svg += concat("<line ", stroke, " x1=\"", at, "\" x2=\"", at + 22, "\" y1=\"", y, "\" y2=\"", y, "\"/>");
    } else {
      svg += concat("<circle stroke=\"", colour, "\" stroke-width=\"2\" fill=\"", curve.dashed ? "none" : colour,
                    "\" cx=\"", at + 11, "\" cy=\"", y, "\" r=\"4\"/>");
    }
    svg += text("start", at + 28, y + 4, legend[i].text);
  }
  return svg + "</svg>";
}

std::string svg_file(const Chart& chart) {
  std::string svg = svg_chart(chart);
  if (svg.empty()) {
    return svg;
  }
  const size_t head = svg.find('>') + 1;  // of the svg element, whose attributes hold none
  svg.insert(head, concat("<style>", kFileStyle, "</style><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"));
  svg.insert(4, " xmlns=\"http://www.w3.org/2000/svg\"");
  return svg + "\n";
}

}  // namespace loraxs
