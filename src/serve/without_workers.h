// serve/without_workers.h: threads that compute a little beside the one that computes.
#pragma once

namespace loraxs {

/// While it lives, this thread computes alone. OpenMP keeps workers for every thread that has had some, and once they
/// are more than the cores none of them waits for its next task awake, the engine's neither: a step with one answer
/// then takes twice as long, for as long as the server runs.
class WithoutWorkers {
 public:
  WithoutWorkers();
  ~WithoutWorkers();
  WithoutWorkers(const WithoutWorkers&) = delete;
  WithoutWorkers& operator=(const WithoutWorkers&) = delete;

 private:
  int before_;
};

}  // namespace loraxs
