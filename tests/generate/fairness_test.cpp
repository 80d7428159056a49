// Whose turn it is: tenants, priorities, a bound on the wait between tokens; and that waiting costs nothing.
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "generate/scheduler.h"
#include "io/seeds.h"
#include "support/expect_error.h"
#include "support/fake_model.h"
#include "support/heard.h"

namespace loraxs {
namespace {

using test::FakeModel;
using test::Heard;
using test::heard_alone;
using test::listened;
using testing::ElementsAre;

GenerationRequest asked(const std::string& tenant, int64_t prompt, int64_t answer, int64_t priority = 0) {
  GenerationRequest request{.max_new_tokens = answer, .tenant = tenant, .priority = priority};
  for (int64_t i = 0; i < prompt; ++i) request.prompt.push_back(static_cast<int32_t>((i * 7 + prompt) % 50));
  return request;
}

TEST(TenantQueuesTest, TheOneServedLeastGoesNextItsOldestFirst) {
  TenantQueues queues(/*credit=*/10);
  for (int64_t id = 0; id < 4; ++id) queues.push("anna", 0, {id, 0});
  queues.push("bert", 0, {4, 0});
  queues.push("bert", 1, {5, 0});
  const auto next = [&](const std::map<int64_t, std::string>& tenants, int64_t priority, int64_t tokens) {
    const Ticket ticket = queues.front()->ticket;
    queues.erase(tenants.at(ticket.first), priority, ticket, /*its_turn=*/true);
    queues.charge(tenants.at(ticket.first), tokens);
    return ticket.first;
  };
  const std::map<int64_t, std::string> tenants = {{0, "anna"}, {1, "anna"}, {2, "anna"}, {3, "anna"},
                                                  {4, "bert"}, {5, "bert"}, {6, "carl"}, {7, "bert"}};
  EXPECT_EQ(next(tenants, 1, 100), 5);  // the higher priority
  EXPECT_EQ(next(tenants, 0, 60), 0);
  EXPECT_EQ(next(tenants, 0, 60), 1);  // anna 60 of bert's 100
  EXPECT_EQ(next(tenants, 0, 60), 4);
  queues.push("carl", 0, {6, 0});                        // comes late: as bert was served, less the credit
  EXPECT_EQ(queues.turn("carl", 0, {6, 0}).served, 80);  // who is new has -10
  EXPECT_EQ(next(tenants, 0, 60), 6);
  EXPECT_EQ(next(tenants, 0, 60), 2);
  EXPECT_EQ(queues.size(), 1);
  queues.erase("anna", 0, {3, 0}, /*its_turn=*/false);
  EXPECT_EQ(queues.front(), std::nullopt);
}

TEST(TenantQueuesTest, WhatATenantDidNotUseWhileItWasAwayIsNotKept) {
  TenantQueues queues(/*credit=*/10);
  queues.push("anna", 0, {0, 0});
  queues.erase("anna", 0, {0, 0}, /*its_turn=*/true);
  queues.charge("anna", 5);
  for (int64_t id = 1; id < 3; ++id) {
    queues.push("bert", 0, {id, 0});
    queues.erase("bert", 0, {id, 0}, /*its_turn=*/true);
    queues.charge("bert", 500);
  }
  EXPECT_EQ(queues.turn("anna", 0, {3, 0}).served, -5);
  queues.push("anna", 0, {3, 0});
  EXPECT_EQ(queues.front()->served, 490 - 10);  // bert's when it was his turn, less the credit
}

TEST(TenantQueuesTest, TenantsThatAreAwayAreForgotten) {
  TenantQueues queues(/*credit=*/1);
  for (int64_t id = 0; id < 10'000; ++id) {
    const std::string tenant = concat("tenant ", id);
    queues.push(tenant, 0, {id, 0});
    queues.charge(tenant, 2);
    queues.erase(tenant, 0, {id, 0}, /*its_turn=*/true);
  }
  EXPECT_LT(queues.num_tenants(), 200);
}

/// Steps from submission to the end of a small request that comes every `every` steps, `count` of them; `crowd`
/// requests of another tenant were there before.
std::vector<int64_t> waits(int64_t crowd, const std::string& crowd_tenant, int64_t count, int64_t every) {
  FakeModel model(400, 4);
  Scheduler scheduler(model, {.context = 64, .tokens_per_step = 64, .max_sequences = 16});
  std::vector<Heard> others(static_cast<size_t>(crowd)), own(static_cast<size_t>(count));
  for (Heard& heard : others) scheduler.submit(listened(asked(crowd_tenant, 30, 20), heard));
  std::vector<int64_t> begun(own.size()), ended(own.size(), -1);
  for (int64_t step = 0, next = 0;; ++step) {
    if (next < count && step % every == 0) {
      GenerationRequest request = listened(asked("bert", 10, 5), own[next]);
      request.on_finish = [&, next](int64_t, FinishReason, const std::string&) { ended[next] = step; };
      begun[next] = step;
      scheduler.submit(std::move(request));
      ++next;
    }
    scheduler.step();
    if (next == count && ended.back() >= 0) break;
  }
  std::vector<int64_t> steps;
  steps.reserve(own.size());
  for (size_t i = 0; i < own.size(); ++i) steps.push_back(ended[i] - begun[i]);
  std::sort(steps.begin(), steps.end());
  return steps;
}

TEST(FairnessTest, AThousandRequestsOfOneTenantHardlyDelayAnothers) {
  constexpr int64_t kCount = 40, kEvery = 8;
  const std::vector<int64_t> alone = waits(0, "", kCount, kEvery), crowded = waits(1000, "anna", kCount, kEvery),
                             same = waits(1000, "bert", 1, kEvery);
  EXPECT_EQ(alone[kCount * 95 / 100], 4);
  EXPECT_LE(crowded[kCount / 2], 8);
  EXPECT_LE(crowded[kCount * 95 / 100], 12) << "a seat that gets free, and its share of the prompts' tokens";
  EXPECT_GT(same.back(), 1000) << "control: behind them in one queue";
}

TEST(FairnessTest, TenantsShareTheTokensWhateverTheyAsk) {
  FakeModel model(400, 4);
  Scheduler scheduler(model, {.context = 64, .tokens_per_step = 32, .max_sequences = 8});
  std::vector<Heard> heard(900);
  for (size_t i = 0; i < heard.size(); ++i) {  // long ones, short ones, and long answers; one asks ten times as often
    const std::string tenant = i < 20 ? "carl" : i < 120 ? "bert" : "anna";
    const bool anna = tenant == "anna", bert = tenant == "bert";
    scheduler.submit(listened(asked(tenant, anna ? 40 : bert ? 4 : 6, anna ? 4 : bert ? 4 : 50), heard[i]));
  }
  std::map<std::string, double> tokens;
  for (int step = 0; step < 60; ++step) scheduler.step();
  for (size_t i = 0; i < heard.size(); ++i) {
    const std::string tenant = i < 20 ? "carl" : i < 120 ? "bert" : "anna";
    const size_t prompt = tenant == "anna" ? 40 : tenant == "bert" ? 4 : 6;
    if (heard[i].cached_tokens == 0) tokens[tenant] += static_cast<double>(prompt + heard[i].samples[0].tokens.size());
  }
  const double all = tokens["anna"] + tokens["bert"] + tokens["carl"];
  for (const auto& [tenant, own] : tokens) {
    EXPECT_NEAR(own / all, 1.0 / 3, 0.12) << tenant << " " << own << " of " << all;
  }
}

TEST(FairnessTest, WhoComesLateSharesFromThenOn) {
  FakeModel model(400, 4);
  Scheduler scheduler(model, {.context = 64, .tokens_per_step = 32, .max_sequences = 8});
  std::vector<Heard> early(300), late(300);
  const auto begun = [](const std::vector<Heard>& all) {
    return std::count_if(all.begin(), all.end(), [](const Heard& heard) { return heard.cached_tokens == 0; });
  };
  for (Heard& heard : early) scheduler.submit(listened(asked("anna", 10, 5), heard));
  for (int step = 0; step < 60; ++step) scheduler.step();
  const auto before = begun(early);
  EXPECT_GT(before, 80);
  for (Heard& heard : late) scheduler.submit(listened(asked("bert", 10, 5), heard));
  for (int step = 0; step < 60; ++step) scheduler.step();
  EXPECT_NEAR(static_cast<double>(begun(late)), static_cast<double>(begun(early) - before), 10);
}

TEST(FairnessTest, TheHigherPriorityGoesFirstAndTheYoungestOfTheLowestGivesWay) {
  FakeModel model(15, 4);
  Scheduler scheduler(model, {.context = 60, .max_sequences = 2});
  std::vector<Heard> heard(5);
  std::vector<size_t> order;
  const std::vector<int64_t> priorities = {0, 0, 5, 1, 5};
  for (size_t i = 0; i < heard.size(); ++i) {
    GenerationRequest request = listened(asked("anna", 6, 8, priorities[i]), heard[i]);
    request.on_finish = [&order, i](int64_t, FinishReason, const std::string&) { order.push_back(i); };
    scheduler.submit(std::move(request));
  }
  while (scheduler.step()) {
  }
  EXPECT_THAT(order, ElementsAre(2, 4, 3, 0, 1));

  FakeModel small(8, 4);
  Scheduler tight(small, {.context = 32});
  order.clear();
  for (const size_t i : {0, 1, 2}) {
    GenerationRequest request = listened(asked("anna", 7, 12, i == 1 ? 1 : 0), heard[i]);
    request.on_finish = [&order, i](int64_t, FinishReason, const std::string&) { order.push_back(i); };
    tight.submit(std::move(request));
  }
  while (tight.step()) {
  }
  EXPECT_GT(tight.num_preemptions(), 0);
  EXPECT_THAT(order, ElementsAre(1, 0, 2));
}

double seconds_of_steps(int64_t waiting) {
  FakeModel model(64, 4);
  Scheduler scheduler(model, {.context = 200, .max_sequences = 2});
  for (int64_t i = 0; i < 2 + waiting; ++i) scheduler.submit(asked(concat("tenant ", i % 100), 3, 100));
  scheduler.step();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 90; ++i) scheduler.step();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(FairnessTest, WhoWaitsCostsNothing) {
  seconds_of_steps(0);
  EXPECT_LT(seconds_of_steps(50'000), 4 * seconds_of_steps(0) + 0.005);  // a walk would take a hundred times it
}

TEST(PaceTest, PromptsTakeWhatTheGapLeavesBesideAnswers) {
  const Pace pace(/*gap_ms=*/50);
  StepCost cost;
  const auto tokens = [&](int64_t budget, int64_t answers, int64_t prompts) {
    return pace.prompt_tokens(cost, budget, answers, prompts);
  };
  EXPECT_EQ(tokens(512, 8, 1), Pace::kSmallestChunk);  // nothing is known
  EXPECT_EQ(tokens(3, 8, 1), 3);
  for (int i = 0; i < 40; ++i) {
    cost.measured(0, 8, 20);
    const int64_t chunk = tokens(512, 8, 1);
    cost.measured(chunk, 8, 20 + 5 + 0.2 * static_cast<double>(chunk));  // 5 ms whatever the chunk
  }
  EXPECT_NEAR(static_cast<double>(tokens(512, 8, 1)), 25 / 0.2, 10);
  const int64_t beside_one = tokens(512, 8, 1);
  EXPECT_EQ(tokens(512, 8, 8), beside_one);
  EXPECT_NEAR(static_cast<double>(tokens(5000, 8, 24)), 3 * static_cast<double>(beside_one), 3);
  cost.measured(0, 1, 20);
  EXPECT_NEAR(static_cast<double>(tokens(5000, 1, 60)), Pace::kMostShare * static_cast<double>(beside_one), 4);
  const auto token = 30.0 / static_cast<double>(tokens(512, 8, 1));  // ms, as it has learnt
  for (int i = 0; i < 40; ++i) cost.measured(0, 8, 60);
  EXPECT_NEAR(static_cast<double>(tokens(512, 8, 1)), 51 / token,
              10);  // answers alone take longer: nearly as long again
  EXPECT_EQ(Pace(0).prompt_tokens(cost, 512, 8, 1), 512);
}

/// A clock that goes on as a model's steps would: 10 ms, 1 ms an answer's token, half a ms a prompt's.
struct ClockedRun {
  double largest_gap_ms = 0;
  int64_t steps = 0;
  std::vector<std::vector<test::HeardSample>> heard;
};

ClockedRun run_with_clock(double gap_ms) {
  FakeModel model(400, 4);
  double now = 0;
  model.on_step = [&](const PackedBatch& batch) {
    const auto answers = static_cast<double>(batch.answer_rows.size());
    now += 0.010 + 0.001 * answers + 0.0005 * (static_cast<double>(batch.num_tokens()) - answers);
  };
  Scheduler scheduler(model, {.gap_ms = gap_ms, .seconds = [&] { return now; }});
  std::vector<Heard> heard(12);
  ClockedRun run;
  double last = -1;
  GenerationRequest stream = listened(asked("anna", 5, 150), heard[0]);
  stream.on_token = [&](int64_t, const SampledToken& token) {
    heard[0].samples[0].tokens.push_back(token.id);
    if (last >= 0 && heard[0].samples[0].tokens.size() > 20)
      run.largest_gap_ms = std::max(run.largest_gap_ms, 1e3 * (now - last));
    last = now;
    return true;
  };
  scheduler.submit(std::move(stream));
  for (size_t i = 1; scheduler.step(); ++run.steps) {
    if (i < heard.size() && run.steps % 12 == 4)
      scheduler.submit(listened(asked("bert", 60 + 10 * i, 4), heard[i])), ++i;
  }
  for (const Heard& one : heard) run.heard.push_back(one.samples);
  return run;
}

/// The longest pause, in ms, of anna's answer while 30 prompts of 40 tokens of `tenant` come at once; the clock as
/// above.
double pause_beside_burst(const std::string& tenant) {
  FakeModel model(4000, 4);
  double now = 0, last = -1, longest = 0;
  model.on_step = [&](const PackedBatch& batch) { now += 0.010 + 0.0005 * static_cast<double>(batch.num_tokens()); };
  Scheduler scheduler(model, {.gap_ms = 20, .seconds = [&] { return now; }});
  std::vector<Heard> heard(31);
  GenerationRequest stream = listened(asked("anna", 5, 150), heard[0]);
  stream.on_token = [&](int64_t, const SampledToken&) {
    if (last >= 0) longest = std::max(longest, 1e3 * (now - last));
    last = now;
    return true;
  };
  scheduler.submit(std::move(stream));
  for (int i = 0; i < 20; ++i) scheduler.step();
  scheduler.submit(listened(asked("anna", 40, 2), heard[30]));  // so that a prompt's cost is known
  for (int i = 0; i < 20; ++i) scheduler.step();
  longest = 0;
  for (int i = 1; i < 30; ++i) scheduler.submit(listened(asked(tenant, 40, 2), heard[i]));
  while (scheduler.step()) {
  }
  return longest;
}

TEST(PaceTest, OnesOwnBurstMayLengthenPausesAndAnothersMayNot) {
  EXPECT_GT(pause_beside_burst("anna"), 30);
  EXPECT_LE(pause_beside_burst("anna"), Pace::kMostShare * 20);
  EXPECT_LE(pause_beside_burst("bert"), 22);
}

TEST(PaceTest, RunningAnswersKeepTheirPaceAndBitsDoNotDependOnIt) {
  const ClockedRun free = run_with_clock(0), paced = run_with_clock(30);
  EXPECT_EQ(paced.heard, free.heard);
  EXPECT_GT(free.largest_gap_ms, 70);
  EXPECT_LE(paced.largest_gap_ms, 33);
  EXPECT_GT(paced.steps, 0);
}

}  // namespace
}  // namespace loraxs
