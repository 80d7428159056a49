#include "commands/session.h"

#include <sys/resource.h>

#include <array>
#include <iostream>

namespace loraxs {

LogSink stderr_log(const CommonOptions& common) {
  const bool quiet = common.quiet;
  return [quiet](LogLevel level, const std::string& line) {
    if (level == LogLevel::kWarning) {
      std::cerr << "loraxs: warning: " << line << '\n';
    } else if (!quiet) {
      std::cerr << line << '\n';
    }
  };
}

Settings settings_of(const CommonOptions& common) {
  Settings settings{.log = stderr_log(common)};
  if (!common.cache.empty()) settings.cache = common.cache;
  return settings;
}

OpenedAdapter open_adapter_of(const AdapterOptions& options, const CommonOptions& common) {
  const Settings settings = settings_of(common);
  return open_adapter_on_model(open_model(options.model, settings), options.adapter,
                               {.basis_file = options.basis, .accept_base = options.accept_base}, settings);
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  constexpr int64_t kKilobyte = 1024;  // ru_maxrss on Linux
  return usage.ru_maxrss * kKilobyte;
}

std::string human_bytes(int64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

}  // namespace loraxs
