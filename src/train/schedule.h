// train/schedule.h: learning-rate factors, as transformers' get_*_schedule_with_warmup.
#pragma once
#include <cstdint>
#include <string>

namespace loraxs {

/// Factor for the step with 0-based index `step`: step / warmup while warming up, then linear or half-cosine to 0 at
/// `total`, or 1 for "constant".
double schedule_factor(const std::string& schedule, int64_t step, int64_t warmup, int64_t total);

}  // namespace loraxs
