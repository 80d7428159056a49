#include "ops/worker_threads.h"

#include <omp.h>

namespace loraxs {

void release_worker_threads() { omp_pause_resource_all(omp_pause_soft); }

}  // namespace loraxs
