// serve/without_workers.h: threads that compute a little beside the one that computes.
#pragma once

namespace loraxs {

/// While it lives, this thread computes alone. OpenMP keeps workers for every thread that has had some; once they are
/// more than the cores it lets all of them sleep between two tasks, the engine's too, for as long as the server runs.
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
