#include "serve/without_workers.h"

#include <ATen/Parallel.h>
#include <omp.h>

namespace loraxs {

// ATen sets the number itself when a thread first asks it for one.
WithoutWorkers::WithoutWorkers() : before_(at::get_num_threads()) { omp_set_num_threads(1); }
WithoutWorkers::~WithoutWorkers() { omp_set_num_threads(before_); }

}  // namespace loraxs
