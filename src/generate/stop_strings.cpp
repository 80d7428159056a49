#include "generate/stop_strings.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace loraxs {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) throw std::invalid_argument("StopStrings: an empty stop string");
  }
}

std::string StopStrings::append(std::string_view piece) {
  if (stopped_) return "";
  held_ += piece;
  size_t end = std::string::npos, begin = 0;  // of the stop string that is complete first, whatever the pieces were
  for (const std::string& stop : stops_) {
    const size_t found = held_.find(stop);
    if (found == std::string::npos) continue;
    const size_t found_end = found + stop.size();
    if (found_end < end || (found_end == end && found < begin)) {
      begin = found;
      end = found_end;
    }
  }
  if (end != std::string::npos) {
    stopped_ = true;
    found_ = held_.substr(begin, end - begin);
    held_.resize(begin);
    return std::exchange(held_, "");
  }
  size_t keep = 0;  // the longest end of the text that is the beginning of a stop string
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (held_.ends_with(std::string_view(stop).substr(0, length))) keep = length;
    }
  }
  const std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}

std::string StopStrings::finish() { return std::exchange(held_, ""); }

}  // namespace loraxs
