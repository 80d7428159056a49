#include "ops/worker_threads.h"

#include <ATen/Parallel.h>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace loraxs {
namespace {

void set_threads_of_this_one([[maybe_unused]] int count) {
#ifdef _OPENMP
  omp_set_num_threads(count);
#endif
}

}  // namespace

void release_worker_threads() {
#ifdef _OPENMP
  omp_pause_resource_all(omp_pause_soft);
#endif
}

// ATen sets the number itself when a thread first asks it for one.
WithoutWorkers::WithoutWorkers() : before_(at::get_num_threads()) { set_threads_of_this_one(1); }
WithoutWorkers::~WithoutWorkers() { set_threads_of_this_one(before_); }

}  // namespace loraxs
