#include "io/chart.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "io/error.h"

namespace loraxs {
namespace {

/// 1, 2 or 5 times a power of ten, for about `count` ticks over `range`.
double tick_step(double range, int count) {
  const double rough = range / count, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10 * power;
}

/// Multiples of 1, 2 or 5 times a power of ten between `low` and `high`: about `count` of them, at least `least` apart.
std::vector<double> ticks(double low, double high, int count, double least) {
  const double step = std::max(least, tick_step(high - low, count));
  std::vector<double> result;
  const auto first = static_cast<int64_t>(std::ceil(low / step)), last = static_cast<int64_t>(std::floor(high / step));
  result.reserve(last - first + 1);
  for (int64_t i = first; i <= last; ++i) result.push_back(static_cast<double>(i) * step);
  return result;
}

constexpr const char* kColours[] = {"#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d"};

/// Steps and layers have no ticks between them.
bool whole_x(const std::vector<Curve>& curves) {
  for (const Curve& curve : curves) {
    for (const auto& [x, y] : curve.points) {
      if (x != std::floor(x)) return false;
    }
  }
  return true;
}

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--ink:#0f172a;--soft:#64748b;--line:#e2e8f0;--paper:#ffffff;--card:#f8fafc}
@media(prefers-color-scheme:dark){:root{--ink:#e2e8f0;--soft:#94a3b8;--line:#334155;--paper:#0b1120;--card:#111a2e}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 8px}p.lead{color:var(--soft);margin:0 0 20px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:16px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font:12px system-ui,sans-serif}svg .title{fill:var(--ink);font-weight:600;font-size:14px}
.grid{stroke:var(--line)}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500;width:45%}pre{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px;overflow:auto;font-size:12.5px}
)";

}  // namespace

std::string escape_html(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += c;
    }
  }
  return result;
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string svg_chart(const std::string& title, const std::string& x_label, const std::vector<Curve>& curves) {
  constexpr double kWidth = 500, kHeight = 300, kLeft = 52, kRight = 14, kTop = 34, kBottom = 62;
  double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
  for (const Curve& curve : curves) {
    for (const auto& [x, y] : curve.points) {
      x_low = std::min(x_low, x), x_high = std::max(x_high, x);
      y_low = std::min(y_low, y), y_high = std::max(y_high, y);
    }
  }
  if (!(x_low <= x_high)) return "";
  if (x_low == x_high) x_low -= 0.5, x_high += 0.5;
  const double room = y_high > y_low ? 0.06 * (y_high - y_low) : std::max(0.01, std::abs(y_high) * 0.1);
  y_low -= room, y_high += room;
  const auto px = [&](double x) { return kLeft + (x - x_low) / (x_high - x_low) * (kWidth - kLeft - kRight); };
  const auto py = [&](double y) {
    return kHeight - kBottom - (y - y_low) / (y_high - y_low) * (kHeight - kTop - kBottom);
  };
  std::string svg =
      concat("<svg viewBox=\"0 0 ", kWidth, " ", kHeight, "\" role=\"img\" aria-label=\"", escape_html(title),
             "\"><text class=\"title\" x=\"", kLeft, "\" y=\"18\">", escape_html(title), "</text>");
  for (const double y : ticks(y_low, y_high, 5, 0)) {
    svg += concat("<line class=\"grid\" x1=\"", kLeft, "\" x2=\"", kWidth - kRight, "\" y1=\"", py(y), "\" y2=\"",
                  py(y), "\"/><text text-anchor=\"end\" x=\"", kLeft - 6, "\" y=\"", py(y) + 4, "\">", short_number(y),
                  "</text>");
  }
  for (const double x : ticks(x_low, x_high, 6, whole_x(curves) ? 1 : 0)) {
    svg += concat("<text text-anchor=\"middle\" x=\"", px(x), "\" y=\"", kHeight - kBottom + 16, "\">", short_number(x),
                  "</text>");
  }
  svg += concat("<text text-anchor=\"middle\" x=\"", (kLeft + kWidth - kRight) / 2, "\" y=\"", kHeight - kBottom + 32,
                "\">", escape_html(x_label), "</text>");
  double legend_x = kLeft;
  size_t colour = 0;
  for (const Curve& curve : curves) {
    const std::string mark =
        concat("stroke=\"", kColours[colour++ % std::size(kColours)], "\" fill=\"none\" stroke-width=\"2\"");
    const std::string stroke = mark + (curve.dashed ? " stroke-dasharray=\"6 4\"" : "");
    std::string points;
    if (curve.dashed && curve.points.size() == 1) {  // one score to compare with: a level across the chart
      const double y = py(curve.points.front().second);
      points = concat(kLeft, ",", y, " ", kWidth - kRight, ",", y, " ");
    } else {
      for (const auto& [x, y] : curve.points) points += concat(px(x), ",", py(y), " ");
    }
    svg += concat("<polyline ", stroke, " points=\"", points, "\"><title>", escape_html(curve.name),
                  "</title></polyline>");
    if (curve.points.size() <= 40 && !(curve.dashed && curve.points.size() == 1)) {
      for (const auto& [x, y] : curve.points) {
        svg += concat("<circle ", mark, " cx=\"", px(x), "\" cy=\"", py(y), "\" r=\"2.5\"><title>",
                      escape_html(curve.name), ": ", short_number(x), ", ", short_number(y), "</title></circle>");
      }
    }
    svg += concat("<line ", stroke, " x1=\"", legend_x, "\" x2=\"", legend_x + 22, "\" y1=\"", kHeight - 14, "\" y2=\"",
                  kHeight - 14, "\"/><text x=\"", legend_x + 28, "\" y=\"", kHeight - 10, "\">",
                  escape_html(curve.name), "</text>");
    legend_x += 48 + 6.6 * static_cast<double>(curve.name.size());
  }
  return svg + "</svg>";
}

std::string html_page(const std::string& title, const std::string& lead, const std::string& body) {
  return concat(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>loraxs: ",
      escape_html(title), "</title><style>", kStyle, "</style></head><body><main><h1>", escape_html(title),
      "</h1><p class=\"lead\">", escape_html(lead), "</p>", body, "</main></body></html>\n");
}

std::string html_charts(const std::vector<std::string>& charts) {
  std::string result = "<div class=\"charts\">";
  for (const std::string& chart : charts) result += "<figure>" + chart + "</figure>";
  return result + "</div>";
}

}  // namespace loraxs
