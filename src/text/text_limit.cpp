#include "text/text_limit.h"

#include <algorithm>
#include <ctime>

#include "io/error.h"

namespace loraxs {
namespace {

constexpr size_t kFree = size_t{64} << 10, kGrowth = 16, kLongTextGrowth = 4, kLongText = size_t{32} << 20;

/// Processor time of this thread, a system call.
std::chrono::nanoseconds thread_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

TextLimit::TextLimit(size_t text_bytes)
    : text_bytes_(text_bytes),
      allowed_(kFree + std::max(std::min(text_bytes, kLongText / kGrowth) * kGrowth, text_bytes * kLongTextGrowth)),
      left_(allowed_),
      allowed_time_(std::chrono::milliseconds(250) + std::chrono::nanoseconds(250 * text_bytes)) {}

void TextLimit::fail_size() const {
  throw Error(concat("tokenizer: expected at most ", allowed_, " bytes to come of a text of ", text_bytes_,
                     ", found more; a step of its normalizer, pre_tokenizer or decoder multiplies text"));
}

void TextLimit::look_at_clock() {
  if (thread_time_at_start_.count() < 0) {
    if (std::chrono::steady_clock::now() - start_ > allowed_time_) thread_time_at_start_ = thread_time();
  } else if (thread_time() - thread_time_at_start_ > allowed_time_) {
    throw Error(concat("tokenizer: expected its regular expressions to take at most ",
                       allowed_time_.count() / 1'000'000, " ms for a text of ", text_bytes_,
                       " bytes, found more; an expression backtracks too much"));
  }
}

}  // namespace loraxs
