#include "text/jinja/budget.h"

#include <algorithm>
#include <ctime>

#include "io/error.h"
#include "text/jinja/failure.h"

namespace loraxs::jinja {
namespace {

constexpr int64_t kStepsPerLook = 1 << 16;  // some milliseconds; what a conversation takes never asks the clock

}  // namespace

std::chrono::nanoseconds processor_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

Budget::Budget(const Limits& limits) : limits_(limits), start_(limits.clock()) {
  next_look_ = std::min(limits_.steps + 1, kStepsPerLook) * kStep;
}

void Budget::look() {
  if (work_ > limits_.steps * kStep) {
    throw Failure(FailureKind::kLimit, concat("expected at most ", limits_.steps, " steps, the template takes more"));
  }
  if (limits_.clock() - start_ > limits_.time) {
    throw Failure(FailureKind::kLimit,
                  concat("expected at most ", limits_.time.count(), " ms of processor time, the template takes more"));
  }
  next_look_ = std::min(limits_.steps * kStep + 1, work_ + kStepsPerLook * kStep);
}

void Budget::allocate(int64_t bytes) {
  if (bytes > limits_.total_bytes - bytes_) {
    throw Failure(FailureKind::kLimit, concat("expected texts, lists and dicts of at most ", limits_.total_bytes,
                                              " bytes in all, the template makes more"));
  }
  bytes_ += bytes;
}

void Budget::text(int64_t bytes) {
  grow(0, bytes);
  allocate(kTextBytes);
}

void Budget::grow(int64_t size, int64_t bytes) {
  if (bytes > limits_.text_bytes - size) {
    throw Failure(FailureKind::kLimit,
                  concat("expected texts of at most ", limits_.text_bytes, " bytes, the template makes a longer one"));
  }
  allocate(bytes + (size > 0 ? bytes : 0));  // a text that grows doubles its room
  work(bytes);
}

void Budget::list(int64_t count) {
  if (count > limits_.elements) fail_elements();
  step(count);
  allocate(kObjectBytes + count * kElementBytes);
}

void Budget::entry(int64_t size) {
  if (size >= limits_.elements) fail_elements();
  allocate(kEntryBytes);
  step();
}

void Budget::fail_depth() const {
  throw Failure(FailureKind::kLimit,
                concat("expected at most ", limits_.depth, " nested levels, the template has more"));
}

void Budget::fail_elements() const {
  throw Failure(FailureKind::kLimit, concat("expected lists and dicts of at most ", limits_.elements,
                                            " elements, the template makes a longer one"));
}

}  // namespace loraxs::jinja
