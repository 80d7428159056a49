#include "cli/subcommands/show.h"

#include <algorithm>
#include <iostream>

#include "commands/describe.h"
#include "commands/session.h"
#include "io/json.h"

namespace loraxs {
namespace {

void print_table(const DescribedTable& table) {
  const auto line = [](const std::vector<std::string>& cells) {
    std::string text = "|";
    for (const std::string& cell : cells) text += " " + printable(cell) + " |";
    std::cout << text << '\n';
  };
  std::cout << '\n' << table.title << ":\n";
  line(table.columns);
  line(std::vector<std::string>(table.columns.size(), "---"));
  for (const std::vector<std::string>& row : table.rows) line(row);
}

}  // namespace

int run(const ShowOptions& options, const CommonOptions& common) {
  const Description found = describe_path(options.path, settings_of(common));
  if (common.json) {
    std::cout << json_text(found.json) << '\n';
    return 0;
  }
  size_t width = 0;
  for (const auto& [what, fact] : found.facts) width = std::max(width, what.size());
  for (const auto& [what, fact] : found.facts)
    std::cout << printable(what) << ':' << std::string(width - what.size() + 2, ' ') << printable(fact) << '\n';
  for (const DescribedTable& table : found.tables) print_table(table);
  return 0;
}

}  // namespace loraxs
