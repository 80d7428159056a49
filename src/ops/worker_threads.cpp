#include "ops/worker_threads.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace loraxs {

void release_worker_threads() {
#ifdef _OPENMP
  omp_pause_resource_all(omp_pause_soft);
#endif
}

}  // namespace loraxs
