#include "text/jinja/failure.h"

#include "io/error.h"

namespace loraxs::jinja {

void Budget::step(int64_t count) {
  steps_ += count;
  if (steps_ > limits_.steps) {
    throw Failure(FailureKind::kLimit, concat("expected at most ", limits_.steps, " steps, the template takes more"));
  }
}

void Budget::grow(int64_t size, int64_t bytes) {
  bytes_ += bytes;
  if (size + bytes > limits_.text_bytes || bytes_ > limits_.total_bytes) {
    throw Failure(FailureKind::kLimit, concat("expected a text of at most ", limits_.text_bytes, " bytes and ",
                                              limits_.total_bytes, " bytes in all, the template makes more"));
  }
}

Budget::Level::Level(Budget& budget) : budget_(budget) {
  if (budget_.depth_ >= budget_.limits_.depth) {
    throw Failure(FailureKind::kLimit,
                  concat("expected at most ", budget_.limits_.depth, " nested levels, the template has more"));
  }
  ++budget_.depth_;
  budget_.step();
}

}  // namespace loraxs::jinja
