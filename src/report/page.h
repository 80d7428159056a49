// report/page.h: self-contained HTML pages of text, tables and charts.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace loraxs {

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
