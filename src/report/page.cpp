#include "report/page.h"

#include <cstdio>

#include "io/error.h"

namespace loraxs {
namespace {

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--ink:#0f172a;--soft:#64748b;--line:#e2e8f0;--paper:#ffffff;--card:#f8fafc}
@media(prefers-color-scheme:dark){:root{--ink:#e2e8f0;--soft:#94a3b8;--line:#334155;--paper:#0b1120;--card:#111a2e}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 8px}p.lead{color:var(--soft);margin:0 0 20px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:16px}
figure{margin:0;max-width:560px;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font:12px system-ui,sans-serif}svg .title{fill:var(--ink);font-weight:600;font-size:14px}
.grid{stroke:var(--line)}.axis{stroke:var(--soft)}svg .label{fill:var(--ink);font-size:11px}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line)}
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
