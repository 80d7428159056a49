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

/// A multiple of `step` with the decimals that tell it from its neighbours: "20,000", "0.05"; powers of ten where those
/// would be long.
std::string tick_text(double value, double step) {
  char text[64];
  if (step < 1e-5 || std::abs(value) >= 1e9) {
    std::snprintf(text, sizeof text, "%.3g", value);
    return text;
  }
  const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
  std::snprintf(text, sizeof text, "%.*f", decimals, value == 0 ? 0 : value);
  std::string result = text;
  const size_t point = std::min(result.find('.'), result.size()), sign = value < 0 ? 1 : 0;
  for (size_t at = point; at > sign + 3; at -= 3) result.insert(at - 3, ",");
  return result;
}

struct Tick {
  double value;
  std::string text;
};

/// Multiples of 1, 2 or 5 times a power of ten between `low` and `high`: about `count` of them, at least `least` apart.
std::vector<Tick> ticks(double low, double high, int count, double least) {
  const double step = std::max(least, tick_step(high - low, count));
  std::vector<Tick> result;
  const auto first = static_cast<int64_t>(std::ceil(low / step)), last = static_cast<int64_t>(std::floor(high / step));
  result.reserve(last - first + 1);
  for (int64_t i = first; i <= last; ++i) {
    const double value = static_cast<double>(i) * step;
    result.push_back({value, tick_text(value, step)});
  }
  return result;
}

constexpr double kCharacter = 6.8;  // widest usual letter of the page's 12 px text, in px

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
  double x = 0;
  int line = 0;
  for (const Curve& curve : curves) {
    const std::string text = shortened(curve.name, static_cast<size_t>((width - kMark) / kCharacter));
    const double taken = kMark + kCharacter * static_cast<double>(text.size());
    if (x > 0 && x + taken > width) x = 0, ++line;
    places.push_back({x, line, text});
    x += taken + kGap;
  }
  return places;
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
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:16px}
figure{margin:0;max-width:560px;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font:12px system-ui,sans-serif}svg .title{fill:var(--ink);font-weight:600;font-size:14px}
.grid{stroke:var(--line)}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500}tr.best td{font-weight:600}td{white-space:pre-wrap;overflow-wrap:anywhere}pre{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px;overflow:auto;font-size:12.5px}
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
  const std::vector<Tick> y_ticks = ticks(y_low, y_high, 5, 0);
  size_t longest = 4;
  for (const Tick& tick : y_ticks) longest = std::max(longest, tick.text.size());
  constexpr double kWidth = 500, kRight = 22, kTop = 34, kPlot = 204, kAxis = 40, kLine = 18;
  const double left = 14 + kCharacter * static_cast<double>(longest), bottom = kTop + kPlot;
  const std::vector<LegendPlace> legend = legend_places(curves, kWidth - left - kRight);
  const double legend_top = bottom + kAxis + kLine / 2;
  const double height = legend_top + kLine * (legend.back().line + 0.5);
  const auto px = [&](double x) { return left + (x - x_low) / (x_high - x_low) * (kWidth - left - kRight); };
  const auto py = [&](double y) { return bottom - (y - y_low) / (y_high - y_low) * kPlot; };
  std::string svg =
      concat("<svg viewBox=\"0 0 ", kWidth, " ", height, "\" role=\"img\" aria-label=\"", escape_html(title),
             "\"><text class=\"title\" x=\"", left, "\" y=\"18\">", escape_html(title), "</text>");
  for (const auto& [y, text] : y_ticks) {
    svg += concat("<line class=\"grid\" x1=\"", left, "\" x2=\"", kWidth - kRight, "\" y1=\"", py(y), "\" y2=\"", py(y),
                  "\"/><text text-anchor=\"end\" x=\"", left - 6, "\" y=\"", py(y) + 4, "\">", text, "</text>");
  }
  for (const auto& [x, text] : ticks(x_low, x_high, 6, whole_x(curves) ? 1 : 0)) {
    svg += concat("<text text-anchor=\"middle\" x=\"", px(x), "\" y=\"", bottom + 16, "\">", text, "</text>");
  }
  svg += concat("<text text-anchor=\"middle\" x=\"", (left + kWidth - kRight) / 2, "\" y=\"", bottom + 32, "\">",
                escape_html(x_label), "</text>");
  for (size_t i = 0; i < curves.size(); ++i) {
    const Curve& curve = curves[i];
    const size_t colour = curve.colour < 0 ? i : static_cast<size_t>(curve.colour);
    const std::string mark =
        concat("stroke=\"", kColours[colour % std::size(kColours)], "\" fill=\"none\" stroke-width=\"2\"");
    const std::string stroke = mark + (curve.dashed ? " stroke-dasharray=\"6 4\"" : "");
    const bool is_level = curve.dashed && curve.points.size() == 1;  // one score to compare with: across the chart
    std::string points;
    for (const auto& [x, y] : curve.points) {
      points += is_level ? concat(left, ",", py(y), " ", kWidth - kRight, ",", py(y)) : concat(px(x), ",", py(y), " ");
    }
    svg += concat("<polyline ", stroke, " points=\"", points, "\"><title>", escape_html(curve.name),
                  "</title></polyline>");
    constexpr size_t kMarked = 40;
    for (const auto& [x, y] : curve.points) {
      if (curve.points.size() > kMarked || is_level) break;
      svg += concat("<circle ", mark, " cx=\"", px(x), "\" cy=\"", py(y), "\" r=\"2.5\"><title>",
                    escape_html(curve.name), ": ", short_number(x), ", ", short_number(y), "</title></circle>");
    }
    const double at = left + legend[i].x, y = legend_top + kLine * legend[i].line;
    svg += concat("<line ", stroke, " x1=\"", at, "\" x2=\"", at + 22, "\" y1=\"", y, "\" y2=\"", y, "\"/><text x=\"",
                  at + 28, "\" y=\"", y + 4, "\">", escape_html(legend[i].text), "</text>");
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

std::string html_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                       size_t emphasised) {
  std::string table = "<table>";
  const auto add = [&](const std::vector<std::string>& cells, const char* name, const char* row) {
    table += row;
    for (const std::string& cell : cells) table += concat("<", name, ">", escape_html(cell), "</", name, ">");
    table += "</tr>\n";
  };
  if (!header.empty()) add(header, "th", "<tr>");
  for (size_t i = 0; i < rows.size(); ++i) add(rows[i], "td", i == emphasised ? "<tr class=\"best\">" : "<tr>");
  return table + "</table>";
}

std::string html_charts(const std::vector<std::string>& charts) {
  std::string result = "<div class=\"charts\">";
  for (const std::string& chart : charts) {
    if (!chart.empty()) result += "<figure>" + chart + "</figure>";
  }
  return result + "</div>";
}

}  // namespace loraxs
