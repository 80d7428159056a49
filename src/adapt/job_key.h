// adapt/job_key.h: the key of everything random of one job: its fresh head and row, order and masks.
#pragma once
#include <cstdint>
#include <string_view>

#include "io/seeds.h"

namespace loraxs {

/// Of a seed of a recipe's list on a task: settings of one seed share it.
inline uint64_t job_key(uint64_t seed, std::string_view task_name) { return derive_seed(seed, task_name); }

}  // namespace loraxs
