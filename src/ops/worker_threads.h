// ops/worker_threads.h: the threads that OpenMP keeps for each thread that has computed.
#pragma once

namespace loraxs {

/// Ends those of the calling thread, which from here on leaves computing to others; they come anew if it computes
/// again. OpenMP counts all it keeps: beyond the number of cores it stops spinning at barriers, and a step of small
/// products waits for wake-ups (16 answers at once: 0.6 of the speed).
void release_worker_threads();

/// While it lives, this thread computes alone, and has no such threads to give back: for what computes a little beside
/// the thread that computes.
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
