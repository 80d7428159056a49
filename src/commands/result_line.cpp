#include "commands/result_line.h"

#include <ctime>
#include <iostream>

#include "io/json.h"

namespace loraxs {

void print_result(const CommonOptions& common, const nlohmann::ordered_json& json, const std::string& text) {
  std::cout << (common.json ? json_text(json) : printable(text)) << '\n';
}

std::string utc_text(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace loraxs
