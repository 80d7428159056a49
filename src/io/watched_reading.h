// io/watched_reading.h: reads of a library that trusts its file's pointers, which a damaged disk may have changed.
#pragma once
#include <string>

namespace loraxs {

/// While it lives, SIGSEGV and SIGBUS of this thread print "loraxs: LOST" and end the process with exit code 2, in a
/// program that has called end_cleanly_on_lost_pages (io/mapped_file.h). They may be nested. `lost` must outlive it.
class WatchedReading {
 public:
  explicit WatchedReading(const std::string& lost);
  ~WatchedReading();
  WatchedReading(const WatchedReading&) = delete;
  WatchedReading& operator=(const WatchedReading&) = delete;

 private:
  const std::string* before_;
};

/// Ends the process the same way for a reading thread that found damage without a signal; returns where none reads.
void end_watched_reading();

}  // namespace loraxs
