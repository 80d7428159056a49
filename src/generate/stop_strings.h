// generate/stop_strings.h: ends a text at the first stop string, while it is still being written.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace loraxs {

/// Text goes in piece by piece; what comes out can be shown: it is part of no stop string, whatever follows.
class StopStrings {
 public:
  /// Empty strings are a caller's bug (std::invalid_argument).
  explicit StopStrings(std::vector<std::string> stops);

  /// What may be shown now. Once a stop string is complete: the text before it, then nothing. What is shown in all does
  /// not depend on how the text was cut into pieces.
  std::string append(std::string_view piece);
  /// The text held back, at the end of the answer.
  std::string finish();
  bool stopped() const { return stopped_; }
  /// The stop string that was found; empty before.
  const std::string& found() const { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;  // the shortest end of the text that may begin a stop string
  std::string found_;
  bool stopped_ = false;
};

}  // namespace loraxs
