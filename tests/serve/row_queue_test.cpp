// Places among the rows in memory: a tenant's crowd of adapters keeps nobody else waiting, and all places are used.
#include "serve/row_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>

#include "io/error.h"

namespace loraxs {
namespace {

/// As ResidentBank: a place for each adapter that is in use, as many as there are.
class Places {
 public:
  explicit Places(std::size_t count) : count_(count) {}
  bool take(const std::string& key) {
    if (!uses_.contains(key) && uses_.size() == count_) return false;
    ++uses_[key];
    return true;
  }
  void let_go(const std::string& key) {
    if (--uses_.at(key) == 0) uses_.erase(key);
  }
  bool full() const { return uses_.size() == count_; }

 private:
  std::size_t count_;
  std::map<std::string, int64_t> uses_;
};

/// Requests on a bank: whoever got a place first lets it go first.
class Crowd {
 public:
  explicit Crowd(std::size_t places) : places_(places) {}

  int64_t ask(const std::string& tenant, const std::string& key, int64_t priority = 0) {
    const int64_t id = ++asked_;
    requests_[id] = {.id = id, .tenant = tenant, .priority = priority, .key = key};
    queue_.push(requests_[id]);
    return id;
  }
  void give() {
    const auto take = [&](int64_t id) { return places_.take(requests_.at(id).key); };
    for (const int64_t id : queue_.give(take)) {
      served_.push_back(id);
      running_.push_back(id);
    }
  }
  void end_oldest() {
    if (running_.empty()) return;
    end(running_.front());
  }
  void end(int64_t id) {
    running_.remove(id);
    places_.let_go(requests_.at(id).key);
    queue_.erase(id);
  }
  /// Requests that end, one after the other, until it is served.
  int64_t turns_until(int64_t id) {
    for (int64_t turns = 0;; ++turns) {
      give();
      if (has_been_served(id)) return turns;
      if (turns > 1'000) return turns;
      end_oldest();
    }
  }
  bool has_been_served(int64_t id) const { return std::find(served_.begin(), served_.end(), id) != served_.end(); }
  RowQueue& queue() { return queue_; }
  Places& places() { return places_; }
  const std::vector<int64_t>& served() const { return served_; }
  const std::list<int64_t>& running() const { return running_; }

 private:
  Places places_;
  RowQueue queue_;
  std::map<int64_t, RowQueue::Request> requests_;
  std::vector<int64_t> served_;
  std::list<int64_t> running_;
  int64_t asked_ = 0;
};

TEST(RowQueueTest, ACrowdsAdaptersKeepNobodyWaiting) {
  Crowd crowd(4);
  for (int i = 0; i < 200; ++i) crowd.ask("anna", concat("a", i));
  crowd.give();
  EXPECT_TRUE(crowd.places().full());
  EXPECT_LE(crowd.turns_until(crowd.ask("ben", "b")), 1);
  EXPECT_EQ(crowd.queue().num_waiting(), 200 - 4);
  // The control: first come, first served.
  Places places(4);
  std::deque<std::string> queue;
  for (int i = 0; i < 200; ++i) queue.push_back(concat("a", i));
  queue.push_back("b");
  std::deque<std::string> running;
  int64_t turns = 0;
  while (queue.front() != "b" || !places.take("b")) {
    if (places.take(queue.front())) {
      running.push_back(queue.front());
      queue.pop_front();
      continue;
    }
    places.let_go(running.front());
    running.pop_front();
    ++turns;
  }
  EXPECT_EQ(turns, 200 - 4 + 1);
}

// Places are kept by others than requests: by those who pin an adapter, while its row is loaded.
TEST(RowQueueTest, WhatOthersLetGoOfIsGiven) {
  Crowd crowd(2);
  EXPECT_TRUE(crowd.places().take("pinned") && crowd.places().take("loading"));
  const int64_t waits = crowd.ask("anna", "a");
  crowd.give();
  crowd.give();
  EXPECT_FALSE(crowd.has_been_served(waits));
  crowd.places().let_go("loading");
  crowd.give();
  EXPECT_TRUE(crowd.has_been_served(waits));
}

TEST(RowQueueTest, MoreTenantsThanPlacesTakeTurns) {
  Crowd crowd(2);
  for (int i = 0; i < 50; ++i) {
    for (const char* tenant : {"anna", "ben", "carl", "dora", "emil"}) crowd.ask(tenant, concat(tenant, i));
  }
  for (int i = 0; i < 100; ++i) {
    crowd.give();
    crowd.end_oldest();
  }
  std::map<int64_t, int64_t> counts;  // ids came tenant by tenant
  for (std::size_t i = 0; i < 100; ++i) ++counts[crowd.served()[i] % 5];
  ASSERT_EQ(counts.size(), 5U);
  for (const auto& [tenant, count] : counts) EXPECT_NEAR(static_cast<double>(count), 20, 1) << tenant;
}

TEST(RowQueueTest, WhoUsesFewestPlacesGoesNext) {
  Crowd crowd(4);
  for (int i = 0; i < 4; ++i) crowd.ask("anna", concat("a", i));
  crowd.give();
  for (int i = 4; i < 8; ++i) crowd.ask("anna", concat("a", i));
  const int64_t one = crowd.ask("ben", "b0"), two = crowd.ask("ben", "b1"), three = crowd.ask("ben", "b2");
  crowd.end_oldest();
  crowd.give();
  EXPECT_TRUE(crowd.has_been_served(one));
  crowd.end_oldest();
  crowd.give();
  EXPECT_TRUE(crowd.has_been_served(two));  // two places each from here on
  crowd.end(crowd.running().back());
  crowd.give();
  EXPECT_TRUE(crowd.has_been_served(three));
  EXPECT_EQ(crowd.queue().num_waiting(), 4);
}

TEST(RowQueueTest, PlacesInUseAreSharedButNotForEver) {
  Crowd crowd(1);
  crowd.ask("anna", "hot");
  crowd.ask("anna", "hot");
  crowd.give();
  EXPECT_EQ(crowd.served().size(), 2U);  // one place
  const int64_t cold = crowd.ask("ben", "cold");
  // The crowd renews its requests: the place is never let go of while others pass.
  int64_t renewed = 0;
  for (; renewed < 1'000 && !crowd.has_been_served(cold); ++renewed) {
    crowd.ask("anna", "hot");
    crowd.give();
    crowd.end_oldest();
    crowd.give();
  }
  EXPECT_GE(renewed, RowQueue::kMostPasses);
  EXPECT_LE(renewed, RowQueue::kMostPasses + 3);
  // Its turn over, the others go on.
  crowd.end(cold);
  crowd.give();
  EXPECT_EQ(crowd.queue().num_waiting(), 0);
}

TEST(RowQueueTest, HigherPrioritiesGoFirst) {
  Crowd crowd(1);
  crowd.ask("anna", "a");
  crowd.give();
  const int64_t low = crowd.ask("ben", "b"), high = crowd.ask("anna", "c", 5);
  crowd.end_oldest();
  crowd.give();
  EXPECT_TRUE(crowd.has_been_served(high));
  EXPECT_FALSE(crowd.has_been_served(low));
}

TEST(RowQueueTest, WhoGoesIsForgotten) {
  Crowd crowd(1);
  crowd.ask("anna", "a");
  crowd.give();
  const int64_t gone = crowd.ask("ben", "b"), next = crowd.ask("carl", "c");
  crowd.give();
  EXPECT_EQ(crowd.queue().num_waiting(), 2);
  crowd.queue().erase(gone);
  crowd.queue().erase(gone);
  crowd.queue().erase(12345);
  EXPECT_EQ(crowd.queue().num_waiting(), 1);
  crowd.end_oldest();
  crowd.give();
  EXPECT_TRUE(crowd.has_been_served(next));
  EXPECT_EQ(crowd.queue().num_waiting(), 0);
}

}  // namespace
}  // namespace loraxs
