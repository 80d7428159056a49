// A store that hangs costs who asks it a deadline, once, and few threads.
#include "serve/store_calls.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "support/expect_error.h"

namespace loraxs {
namespace {

/// A store that answers, or hangs until it is let go.
class SlowStore {
 public:
  ~SlowStore() { hang(false); }
  void hang(bool hangs) {
    const std::lock_guard lock(mutex_);
    hangs_ = hangs;
    changed_.notify_all();
  }
  int answer(int value) {
    std::unique_lock lock(mutex_);
    ++asked;
    changed_.wait(lock, [&] { return !hangs_; });
    return value;
  }
  std::atomic<int> asked = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool hangs_ = false;
};

double seconds_of(const std::function<void()>& what) {
  const auto start = std::chrono::steady_clock::now();
  what();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

bool soon(const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

class StoreCallsTest : public testing::Test {
 protected:
  ~StoreCallsTest() override { store_->hang(false); }
  int ask(int value = 1) {
    return calls_.ask([store = store_, value] { return store->answer(value); });
  }
  const std::shared_ptr<SlowStore> store_ = std::make_shared<SlowStore>();
  StoreCalls calls_{{.deadline_seconds = 0.2, .pause_seconds = 0.3, .threads = 3}};
};

TEST_F(StoreCallsTest, AnswersAndErrorsComeBack) {
  EXPECT_EQ(ask(7), 7);
  EXPECT_ERROR(calls_.ask([]() -> int { throw Error("the disk is full"); }), "the disk is full");
  EXPECT_THROW(calls_.ask([] { throw std::runtime_error("x"); }), std::runtime_error);
  std::atomic<int64_t> sum = 0;
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 100; ++k) sum += ask(k);
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(sum, 8 * 4950);
}

TEST_F(StoreCallsTest, AStoreThatHangsIsWaitedForOnce) {
  store_->hang(true);
  EXPECT_NEAR(seconds_of([&] { EXPECT_ERROR(ask(), "no answer within 0.2 s"); }), 0.2, 0.15);
  // From then on at once, without asking it.
  const int asked = store_->asked;
  const double refused = seconds_of([&] {
    for (int i = 0; i < 100; ++i) {
      try {
        ask();
        FAIL() << "it was answered";
      } catch (const ApiError& error) {
        EXPECT_EQ(error.status(), 503);
        EXPECT_EQ(error.retry_after, 1);
      }
    }
  });
  EXPECT_LT(refused, 0.1);
  EXPECT_EQ(store_->asked, asked);
  // One tries after a pause; the others are refused meanwhile.
  std::this_thread::sleep_for(std::chrono::milliseconds(350));
  std::thread tries([&] { EXPECT_ERROR(ask(), "no answer within"); });
  while (store_->asked == asked) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_LT(seconds_of([&] { EXPECT_THROW(ask(), ApiError); }), 0.1);
  tries.join();
  // It answers again: found out by the next try.
  store_->hang(false);
  EXPECT_THROW(ask(), ApiError);
  std::this_thread::sleep_for(std::chrono::milliseconds(350));
  EXPECT_EQ(ask(5), 5);
  EXPECT_EQ(ask(6), 6);
}

TEST_F(StoreCallsTest, ThreadsThatHangAreBounded) {
  store_->hang(true);
  for (int i = 0; i < 6; ++i) {
    EXPECT_THROW(ask(), Error);
    std::this_thread::sleep_for(std::chrono::milliseconds(310));
  }
  EXPECT_EQ(store_->asked, 3);
}

TEST_F(StoreCallsTest, OneSlowCallIsNotAStalledStore) {
  std::thread slow([&] {
    EXPECT_ERROR(calls_.ask([store = store_] { std::this_thread::sleep_for(std::chrono::milliseconds(400)); }),
                 "given up");
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(ask(1), 1);
  slow.join();
  EXPECT_EQ(ask(2), 2);  // others were answered meanwhile
}

TEST_F(StoreCallsTest, WhoCanDoWithoutWaitsAMomentOnce) {
  StoreCalls calls({.deadline_seconds = 0.4, .moment_seconds = 0.1, .pause_seconds = 0.3, .threads = 4});
  const auto answered = std::make_shared<std::atomic<int>>(0);  // a call may go on when this test is over
  const auto ask = [&](int value) {
    return calls.ask_briefly([store = store_, value, answered] {
      const int answer = store->answer(value);
      ++*answered;
      return answer;
    });
  };
  EXPECT_EQ(ask(7), 7);
  EXPECT_FALSE(calls.slow());
  store_->hang(true);
  EXPECT_NEAR(seconds_of([&] { EXPECT_EQ(ask(1), std::nullopt); }), 0.1, 0.08);
  EXPECT_TRUE(calls.slow());
  EXPECT_LT(seconds_of([&] {
              for (int i = 0; i < 100; ++i) EXPECT_EQ(ask(i), std::nullopt);
            }),
            0.08);
  // Half of the threads are asked for them, and the others are free for those who wait for the deadline.
  EXPECT_TRUE(soon([&] { return store_->asked == 3; }));
  store_->hang(false);
  EXPECT_TRUE(soon([&] { return *answered == 3; })) << "what nobody waited for was answered all the same";
  EXPECT_TRUE(soon([&] { return ask(5) == 5; }));
  EXPECT_FALSE(calls.slow());
  // Calls that nobody waits for have the deadline all the same: behind it the store is stalled for all.
  store_->hang(true);
  EXPECT_EQ(ask(1), std::nullopt);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(seconds_of([&] { EXPECT_THROW(calls.ask([] { return 1; }), ApiError); }), 0.1);
  store_->hang(false);
}

TEST_F(StoreCallsTest, AnEndWaitsForNobody) {
  auto calls = std::make_unique<StoreCalls>(StoreCallsOptions{.deadline_seconds = 0.05});
  store_->hang(true);
  EXPECT_ERROR(calls->ask([store = store_] { return store->answer(1); }), "given up");
  EXPECT_LT(seconds_of([&] { calls.reset(); }), 0.1);
}

}  // namespace
}  // namespace loraxs
