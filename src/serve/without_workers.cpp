#include "serve/without_workers.h"

#include <ATen/Parallel.h>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace loraxs {

namespace {

void set_threads([[maybe_unused]] int count) {
#ifdef _OPENMP
  omp_set_num_threads(count);
#endif
}

}  // namespace

// ATen sets the number itself when a thread first asks it for one.
WithoutWorkers::WithoutWorkers() : before_(at::get_num_threads()) { set_threads(1); }
WithoutWorkers::~WithoutWorkers() { set_threads(before_); }

}  // namespace loraxs
