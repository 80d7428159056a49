// Steps that tenants share: what one asks hardly slows another's answers, and costs nobody his bits or his progress.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>

#include "generate/scheduler.h"
#include "io/error.h"
#include "io/seeds.h"
#include "support/fake_model.h"
#include "support/heard.h"

namespace loraxs {
namespace {

using test::FakeModel;
using test::Heard;
using test::heard_alone;
using test::listened;

constexpr double kMostLonger = 1.2;

GenerationRequest asked(const std::string& tenant, int64_t seed, int64_t prompt, int64_t answer, int64_t priority = 0) {
  GenerationRequest request{.max_new_tokens = answer, .tenant = tenant, .priority = priority};
  for (int64_t i = 0; i < prompt; ++i) request.prompt.push_back(static_cast<int32_t>((i * 7 + seed) % 50));
  return request;
}

/// A model whose steps take what a small one's on two cores take: 5 ms, 0.9 ms an answer's token and 0.95 ms a
/// prompt's, in layers that ask for interruptions.
struct ClockedModel : FakeModel {
  explicit ClockedModel(int64_t blocks) : FakeModel(blocks, 16) {
    on_step = [this](const PackedBatch& batch) { pass(batch); };
  }
  void pass(const PackedBatch& batch) {
    constexpr int kLayers = 30;
    const auto answers = static_cast<double>(batch.answer_rows.size());
    const double ms = 5 + 0.9 * answers + 0.95 * (static_cast<double>(batch.num_tokens()) - answers);
    for (int layer = 0; layer < kLayers; ++layer) {
      if (wanted && wanted()) {
        given_up += ms * layer / kLayers / 1e3;
        throw StepInterrupted();
      }
      now += ms / kLayers / 1e3;
    }
    most_sequences = std::max(most_sequences, batch.num_sequences());
    std::vector<std::pair<int64_t, int64_t>> sizes;
    for (int64_t s = 0; s < batch.num_sequences(); ++s)
      sizes.emplace_back(batch.slots[s], batch.starts[s + 1] - batch.starts[s]);
    batches.push_back(std::move(sizes));
  }
  double now = 0, given_up = 0;                                   // seconds
  std::vector<std::vector<std::pair<int64_t, int64_t>>> batches;  // slot and tokens of each sequence
  int64_t most_sequences = 0;
};

/// "one" asks once a second for `seconds`, "crowd" a thousand at the start.
struct Served {
  std::vector<double> milliseconds;  // of the one's, least first
  double crowd_tokens = 0;           // a second, prompts included
  double lost = 0;                   // part of the time
  int64_t most_running = 0, most_sequences = 0;

  double p95() const {
    return milliseconds.at(static_cast<size_t>(std::ceil(0.95 * static_cast<double>(milliseconds.size()))) - 1);
  }
};

Served serve(int64_t crowd, bool one, double most_longer, int64_t prompt = 32, int64_t seconds = 40) {
  ClockedModel model(4000);
  std::deque<double> due;
  for (int64_t i = 0; one && i < seconds; ++i) due.push_back(1.0137 * static_cast<double>(i));
  SchedulerOptions options{.gap_ms = 20, .most_longer = most_longer, .seconds = [&] { return model.now; }};
  if (most_longer > 0) options.interrupt = [&] { return !due.empty() && due.front() <= model.now; };
  Scheduler scheduler(model, options);
  Served served;
  for (int64_t i = 0; i < crowd; ++i) {
    GenerationRequest request = asked("crowd", i, 32, 16);
    request.on_token = [&](int64_t, const SampledToken&) {
      served.crowd_tokens += 3;  // two of the prompt for each of the answer
      return true;
    };
    scheduler.submit(std::move(request));
  }
  int64_t id = 0;
  while (model.now < static_cast<double>(seconds)) {
    while (!due.empty() && due.front() <= model.now) {
      GenerationRequest request = asked("one", 1000 + id++, prompt, 16);
      request.on_finish = [&, start = due.front()](int64_t, FinishReason, const std::string&) {
        served.milliseconds.push_back(1e3 * (model.now - start));
      };
      due.pop_front();
      scheduler.submit(std::move(request));
    }
    if (!scheduler.step()) model.now = due.empty() ? static_cast<double>(seconds) : due.front();
    served.most_running = std::max(served.most_running, scheduler.state().running);
  }
  std::sort(served.milliseconds.begin(), served.milliseconds.end());
  served.crowd_tokens /= model.now;
  served.lost = model.given_up / model.now;
  served.most_sequences = model.most_sequences;
  return served;
}

TEST(ShareTest, AThousandOfOneTenantMakeAnothersAnswersAtMostHalfAsLongAgain) {
  const Served alone = serve(0, true, kMostLonger), beside = serve(1000, true, kMostLonger),
               crowd = serve(1000, false, kMostLonger), unshared = serve(1000, true, 0);
  EXPECT_GE(alone.milliseconds.size(), 39);
  EXPECT_LE(beside.p95(), 1.5 * alone.p95()) << alone.p95();
  EXPECT_GT(unshared.p95(), 4 * alone.p95()) << "control";
  // The one takes an eighth of the machine alone; then the crowd goes on beside it.
  EXPECT_GE(beside.crowd_tokens, 0.75 * crowd.crowd_tokens) << crowd.crowd_tokens;
  EXPECT_LE(beside.lost, 0.1);
  EXPECT_LE(beside.most_sequences, 64);
  EXPECT_LE(beside.most_running, 128);

  const Served long_alone = serve(0, true, kMostLonger, 300), long_beside = serve(1000, true, kMostLonger, 300);
  // A step of 20 ms has room for 14 tokens: long prompts go in many steps, and each costs 5 ms beside.
  EXPECT_LE(long_beside.p95(), 1.6 * long_alone.p95()) << long_alone.p95();
}

/// The batches of `requests`, each with a slot of its own, all there at the start.
std::vector<std::vector<std::pair<int64_t, int64_t>>> batches_of(std::vector<GenerationRequest> requests,
                                                                 double most_longer, double* seconds = nullptr) {
  ClockedModel model(4000);
  Scheduler scheduler(model, {.gap_ms = 20, .most_longer = most_longer, .seconds = [&] { return model.now; }});
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].slot = static_cast<int64_t>(i);
    scheduler.submit(std::move(requests[i]));
  }
  while (scheduler.step()) {
  }
  if (seconds != nullptr) *seconds = model.now;
  return model.batches;
}

TEST(ShareTest, TenantsThatAskAlikeAndOneAloneHaveTheSameBatchesAsEver) {
  for (const int64_t tenants : {1, 64}) {
    std::vector<GenerationRequest> requests;
    for (int64_t i = 0; i < 64; ++i) requests.push_back(asked(concat("tenant ", i % tenants), i, 32, 20));
    EXPECT_EQ(batches_of(requests, kMostLonger), batches_of(requests, 0)) << tenants << " tenants";
  }
  // Four requests of each: the last ones end at different times, when some have two left and others one.
  double seconds[2] = {};
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < 64; ++i) requests.push_back(asked(concat("tenant ", i % 16), i, 32, 20));
  for (const bool shares : {false, true}) batches_of(requests, shares ? kMostLonger : 0, &seconds[shares ? 1 : 0]);
  EXPECT_LE(seconds[1], 1.1 * seconds[0]) << seconds[0];
}

TEST(ShareTest, ATenantWithMoreGoesOnBesideOneThatNeverStops) {
  ClockedModel model(4000);
  Scheduler scheduler(model, {.gap_ms = 20, .most_longer = kMostLonger, .seconds = [&] { return model.now; }});
  int64_t ended = 0;
  for (int64_t i = 0; i < 100; ++i) {
    GenerationRequest request = asked("crowd", i, 32, 16);
    request.on_finish = [&](int64_t, FinishReason, const std::string&) { ++ended; };
    scheduler.submit(std::move(request));
  }
  std::function<void()> again = [&] {
    GenerationRequest request = asked("one", 7, 32, 16);
    request.on_finish = [&](int64_t, FinishReason, const std::string&) {
      if (ended < 100) again();
    };
    scheduler.submit(std::move(request));
  };
  again();
  while (scheduler.step()) {
  }
  EXPECT_EQ(ended, 100);
  // Alone they take 100 · (32 · 0.95 + 16 · 0.9) ms and what steps cost beside: 5 s. A sixth of each step and a
  // sequence are theirs.
  EXPECT_LE(model.now, 20);
}

TEST(ShareTest, BitsDoNotDependOnItAndLittleCacheIsEnough) {
  for (const int64_t blocks : {4000, 24}) {
    ClockedModel model(blocks);
    int64_t asks = 0;
    Scheduler scheduler(model, {.context = 100,
                                .max_sequences = 16,
                                .gap_ms = 20,
                                .most_longer = kMostLonger,
                                .interrupt = [&] { return ++asks % 97 == 0; },
                                .seconds = [&] { return model.now; }});
    std::vector<GenerationRequest> requests;
    for (int64_t i = 0; i < 120; ++i) {
      const std::string tenant = i < 80 ? "crowd" : concat("tenant ", i % 7);
      requests.push_back(asked(tenant, i, 5 + i % 60, 3 + i % 30, i % 11 == 0 ? 1 : 0));
      requests.back().samples = i % 9 == 0 ? 3 : 1;
      requests.back().sampling.temperature = 1;
      requests.back().sampling.seed = static_cast<uint64_t>(i);
    }
    std::vector<Heard> heard(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      scheduler.submit(listened(requests[i], heard[i]));
      if (i % 3 == 2) scheduler.step();
    }
    while (scheduler.step()) {
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      FakeModel alone(200, 16);
      EXPECT_EQ(heard[i].samples, heard_alone(alone, requests[i], {.context = 100}).samples) << i;
    }
    EXPECT_GT(scheduler.state().interruptions, 0);
    EXPECT_EQ(scheduler.state().free_blocks, blocks);
    EXPECT_EQ(scheduler.num_preemptions() > 0, blocks < 100);
  }
}

TEST(ShareTest, ALowerPriorityHoldsUpNoHigherOne) {
  for (const int64_t priority : {1, 0}) {
    ClockedModel model(4000);
    Scheduler scheduler(model, {.most_longer = kMostLonger, .seconds = [&] { return model.now; }});
    for (int64_t i = 0; i < 32; ++i) scheduler.submit(asked("paying", i, 10, 40, priority));
    scheduler.submit(asked("one", 1, 10, 40));
    for (int step = 0; step < 30; ++step) scheduler.step();
    EXPECT_EQ(model.batches.back().size() >= 32, priority == 1) << model.batches.back().size();
  }
}

TEST(StepCostTest, LiesOnALineBetweenWhatWasMeasured) {
  StepCost cost;
  EXPECT_EQ(cost.answers_ms(3), 0);
  cost.measured(0, 4, 8);
  EXPECT_DOUBLE_EQ(cost.answers_ms(4), 8);
  EXPECT_DOUBLE_EQ(cost.answers_ms(2), 6);
  EXPECT_DOUBLE_EQ(cost.answers_ms(8), 12);
  for (int i = 0; i < 50; ++i) cost.measured(0, 64, 68), cost.measured(0, 60, 64);
  EXPECT_DOUBLE_EQ(cost.answers_ms(34), 38);
  EXPECT_DOUBLE_EQ(cost.answers_ms(64), 68);
  EXPECT_NEAR(cost.answers_ms(62), 66, 0.01);
  cost.measured(10, 4, 28);
  EXPECT_DOUBLE_EQ(cost.token_ms(), 2);
}

}  // namespace
}  // namespace loraxs
