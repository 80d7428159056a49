// text/text_limit.h: what one text may become and cost on its way to tokens: the steps come from a file of others.
#pragma once
#include <chrono>
#include <cstddef>

namespace loraxs {

/// One for each call that turns a text into tokens, or a token into text. The steps of published tokenizers make at
/// most 11 bytes of one (U+FDFA in NFKD) and take a microsecond for 20.
class TextLimit {
 public:
  explicit TextLimit(size_t text_bytes);

  /// Before a step makes a text of `bytes` bytes. Throws Error where that is more than 16 times the text it began with
  /// and 64 KB (4 times, for texts beyond 32 MB), with what was taken.
  void require(size_t bytes) const {
    if (bytes > left_) fail_size();
  }
  size_t left() const { return left_; }
  /// These bytes are one part's share of the whole.
  void take(size_t bytes) {
    require(bytes);
    left_ -= bytes;
  }
  /// Before each search of a regular expression. Throws Error where they take more than a quarter of a second and of a
  /// microsecond a byte, then as much again of this thread's own time: a busy machine is not the text's fault.
  void count_search() {
    constexpr unsigned kSearchesPerLook = 16;
    if (++searches_ % kSearchesPerLook == 0) look_at_clock();
  }

 private:
  [[noreturn]] void fail_size() const;
  void look_at_clock();

  size_t text_bytes_, allowed_, left_;
  unsigned searches_ = 0;
  std::chrono::nanoseconds allowed_time_, thread_time_at_start_{-1};
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace loraxs
