// commands/result_line.h: one line of a result, as JSON or for people.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/options.h"

namespace loraxs {

/// To stdout.
void print_result(const CommonOptions& common, const nlohmann::ordered_json& json, const std::string& text);

/// "2026-11-29T22:15:03Z", of seconds since 1970.
std::string utc_text(int64_t seconds);

}  // namespace loraxs
