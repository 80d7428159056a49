#include "serve/engine_thread.h"

#include <utility>

#include "ops/worker_threads.h"

namespace loraxs {

void EngineThread::start(std::function<Next()> work) {
  release_worker_threads();  // those that loaded the model
  thread_ = std::thread([this, work = std::move(work)] { run(work); });
}

void EngineThread::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (ends_) return;
    tasks_.push_back(std::move(task));
  }
  posted_.notify_one();
}

void EngineThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  posted_.notify_one();
  if (thread_.joinable()) thread_.join();
  tasks_.clear();
}

void EngineThread::run(const std::function<Next()>& work) {
  Next next = Next::kAgain;
  while (true) {
    std::vector<std::function<void()>> tasks;
    {
      std::unique_lock lock(mutex_);
      const auto has_come = [&] { return ends_ || !tasks_.empty(); };
      if (next == Next::kWait) posted_.wait(lock, has_come);
      if (next == Next::kSoon) posted_.wait_for(lock, kPause, has_come);
      if (ends_) return;
      tasks.swap(tasks_);
    }
    for (const auto& task : tasks) task();
    next = work();
  }
}

}  // namespace loraxs
