// io/log.h: where progress and warnings go. Libraries get a sink; only commands decide that it is stderr.
#pragma once
#include <functional>
#include <string>

namespace loraxs {

enum class LogLevel { kInfo, kWarning };

/// Receives one line without its newline. An empty sink drops it.
using LogSink = std::function<void(LogLevel level, const std::string& line)>;

}  // namespace loraxs
