// What requests share: blocks of common prompts, one prompt of several samples, log-probabilities of a prompt.
#include <gmock/gmock.h>

#include <cmath>
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
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kBlockTokens = 4;

std::vector<int32_t> tokens_of(uint64_t seed, int64_t count) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<int32_t>(mix_seed(seed, static_cast<uint64_t>(i)) % 50));
  }
  return tokens;
}

TEST(PrefixCacheTest, FindsWholeBlocksByKeyAndByAllTokensBeforeThem) {
  PrefixCache cache(6, 2);
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6};
  std::vector<int32_t> blocks;
  for (int i = 0; i < 3; ++i) blocks.push_back(*cache.take());
  const std::span<const int32_t> all(tokens);
  for (size_t i = 0; i < 3; ++i) {
    const int32_t before = i == 0 ? PrefixCache::kNone : blocks[i - 1];
    EXPECT_EQ(cache.keep("anna", before, all.subspan(2 * i, 2), blocks[i]), blocks[i]);
  }
  EXPECT_EQ(cache.find("anna", all), blocks);
  EXPECT_EQ(cache.find("anna", all.first(5)), std::vector(blocks.begin(), blocks.begin() + 2));
  EXPECT_THAT(cache.find("bert", all), IsEmpty());
  EXPECT_THAT(cache.find("", all), IsEmpty());
  const std::vector<int32_t> other = {9, 9, 3, 4}, behind = {3, 4, 5, 6};  // the same block behind another, or first
  EXPECT_THAT(cache.find("anna", other), IsEmpty());
  EXPECT_THAT(cache.find("anna", behind), IsEmpty());
  EXPECT_EQ(cache.references(blocks[0]), 4);  // the caller's, the cache's, two finds
  EXPECT_EQ(cache.references(blocks[2]), 3);
  EXPECT_THROW(cache.keep("anna", *cache.take(), all.first(2), *cache.take()), std::logic_error);
}

TEST(PrefixCacheTest, EqualBlocksBecomeOneAndIdleOnesGoFromTheEndOldestFirst) {
  PrefixCache cache(4, 1);
  const auto compute = [&](const std::vector<int32_t>& tokens) {
    std::vector<int32_t> blocks;
    for (const int32_t& token : tokens) {
      const int32_t before = blocks.empty() ? PrefixCache::kNone : blocks.back();
      blocks.push_back(cache.keep("k", before, std::span(&token, 1), *cache.take()));
    }
    return blocks;
  };
  const auto release = [&](const std::vector<int32_t>& blocks) {
    for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) cache.release(*block);
  };
  const std::vector<int32_t> first = compute({1, 2}), second = compute({1, 3});
  EXPECT_EQ(first[0], second[0]) << "the second's own was given back";
  EXPECT_EQ(cache.num_free(), 1);
  release(first);
  release(second);
  EXPECT_EQ(cache.num_free(), 4);
  EXPECT_EQ(cache.num_kept(), 3);
  EXPECT_NE(cache.take(), std::nullopt);                                            // the free one
  EXPECT_NE(cache.take(), std::nullopt);                                            // 2, idle for longest
  EXPECT_THAT(cache.find("k", std::vector<int32_t>{1, 2}), ElementsAre(first[0]));  // in use again
  EXPECT_NE(cache.take(), std::nullopt);                                            // 3
  EXPECT_EQ(cache.take(), std::nullopt);
  cache.release(first[0]);
  EXPECT_EQ(cache.take(), first[0]);
  EXPECT_EQ(cache.num_kept(), 0);
  EXPECT_THAT(cache.find("k", std::vector<int32_t>{1}), IsEmpty());
}

/// A conversation of five turns: each prompt is the one before, its answer, and new words.
struct Chat {
  std::vector<int32_t> prompt;
  std::vector<Heard> turns;
};

Chat talk(Scheduler& scheduler, const std::string& key, int64_t slot, uint64_t seed) {
  Chat chat{.prompt = tokens_of(1, 9)};  // what all chats begin with
  chat.turns.reserve(5);
  for (uint64_t turn = 0; turn < 5; ++turn) {
    const std::vector<int32_t> words = tokens_of(seed + turn, 5);
    chat.prompt.insert(chat.prompt.end(), words.begin(), words.end());
    chat.turns.emplace_back();
    GenerationRequest request{.prompt = chat.prompt, .slot = slot, .max_new_tokens = 7, .prefix_key = key};
    request.sampling = {.temperature = 1, .seed = seed};
    scheduler.submit(listened(std::move(request), chat.turns.back()));
    while (scheduler.step()) {
    }
    const std::vector<int32_t>& answer = chat.turns.back().samples.front().tokens;
    chat.prompt.insert(chat.prompt.end(), answer.begin(), answer.end());
  }
  return chat;
}

TEST(PrefixTest, OverChatsOfFiveTurnsAHitGivesWhatAMissGives) {
  FakeModel shared_model(40, kBlockTokens), fresh_model(40, kBlockTokens);
  shared_model.kinds_matter = fresh_model.kinds_matter = true;
  Scheduler shared(shared_model, {}), fresh(fresh_model, {.prefix_reuse = false});
  for (uint64_t seed = 100; seed < 2000; seed += 100) {
    const int64_t slot = static_cast<int64_t>(seed / 100) % 3 - 1;
    const Chat hit = talk(shared, concat("slot ", slot), slot, seed),
               miss = talk(fresh, concat("slot ", slot), slot, seed);
    EXPECT_EQ(hit.prompt, miss.prompt);
    int64_t before = seed >= 400 ? 9 : 0;  // the common beginning, of an earlier chat with this slot
    for (size_t turn = 0; turn < 5; ++turn) {
      EXPECT_EQ(hit.turns[turn].cached_tokens, before / kBlockTokens * kBlockTokens) << "chat " << seed << ", " << turn;
      EXPECT_EQ(miss.turns[turn].cached_tokens, 0);
      before = 9 + 5 * static_cast<int64_t>(turn + 1) + 7 * static_cast<int64_t>(turn);  // the prompt, never the answer
    }
  }
  EXPECT_EQ(shared.state().free_blocks, 40);
  EXPECT_GT(shared.state().cached_tokens, 1000);
  FakeModel careless_model(40, kBlockTokens);  // control: one key for different adapters is another's answer
  careless_model.kinds_matter = true;
  Scheduler careless(careless_model, {});
  const Chat first = talk(careless, "one", 0, 100), second = talk(careless, "one", 1, 100);
  FakeModel alone_model(40, kBlockTokens);
  alone_model.kinds_matter = true;
  Scheduler alone(alone_model, {});
  EXPECT_EQ(talk(alone, "", 0, 100).prompt, first.prompt);
  EXPECT_NE(talk(alone, "", 1, 100).prompt, second.prompt);
}

TEST(PrefixTest, AtLeastTheLastTokenOfAPromptIsComputed) {
  FakeModel model(40, kBlockTokens);
  Scheduler scheduler(model, {});
  std::vector<Heard> heard(3);
  for (size_t i = 0; i < 3; ++i) {
    scheduler.submit(
        listened({.prompt = tokens_of(3, i == 2 ? 13 : 12), .max_new_tokens = 2, .prefix_key = "k"}, heard[i]));
    scheduler.step();
  }
  while (scheduler.step()) {
  }
  EXPECT_EQ(heard[0].cached_tokens, 0);
  EXPECT_EQ(heard[1].cached_tokens, 8) << "of a request that still runs";
  EXPECT_EQ(heard[2].cached_tokens, 12);
  EXPECT_EQ(heard[0].samples, heard[1].samples);
}

TEST(SamplesTest, AreWhatSeparateRequestsWithTheirSeedsGive) {
  for (const int64_t prompt_size : {1, 7, 8}) {
    for (const int64_t blocks : {10, 200}) {  // the smaller one makes them give way
      SCOPED_TRACE(concat(prompt_size, " tokens, ", blocks, " blocks"));
      GenerationRequest request{.prompt = tokens_of(5, prompt_size), .slot = 1, .max_new_tokens = 12, .samples = 5};
      request.sampling = {.temperature = 1.2, .seed = 77};
      FakeModel model(blocks, kBlockTokens);
      model.kinds_matter = true;
      Heard together;
      Scheduler scheduler(model, {.context = 40, .end_ids = {3, 4}});
      scheduler.submit(listened(request, together));
      EXPECT_TRUE(scheduler.step());
      EXPECT_EQ(scheduler.state().prompt_tokens, prompt_size);
      EXPECT_LE(blocks - scheduler.state().free_blocks, prompt_size / kBlockTokens + 1);
      while (scheduler.step()) {
      }
      EXPECT_EQ(scheduler.num_preemptions() > 0, blocks == 10);
      EXPECT_EQ(scheduler.state().free_blocks, blocks);
      const bool whole =
          prompt_size % kBlockTokens == 0;  // the last block is copied by all but one, unless it is whole
      if (blocks == 200) {
        EXPECT_EQ(model.copies, whole ? 0 : 4);
      }
      for (int64_t k = 0; k < 5; ++k) {
        GenerationRequest one = request;
        one.samples = 1;
        if (k > 0) one.sampling.seed = mix_seed(77, static_cast<uint64_t>(k));
        FakeModel own(200, kBlockTokens);
        own.kinds_matter = true;
        EXPECT_EQ(heard_alone(own, one, {.context = 40, .end_ids = {3, 4}}).samples.front(), together.samples[k]) << k;
      }
    }
  }
}

TEST(SamplesTest, EachEndsAloneAndAllEndTogether) {
  FakeModel model(200, kBlockTokens);
  Scheduler scheduler(model, {.tokens_per_step = 4, .max_sequences = 4});
  Heard heard, after;
  GenerationRequest request{.prompt = tokens_of(6, 10), .max_new_tokens = 30, .samples = 4};
  request.sampling = {.temperature = 1, .seed = 3};
  const int64_t id = scheduler.submit(listened(request, heard));
  scheduler.submit(listened({.prompt = tokens_of(7, 3), .max_new_tokens = 2}, after));
  scheduler.step();
  scheduler.cancel(id, 0);  // the one that the prompt is named after, before it is there
  EXPECT_EQ(heard.reasons(), (std::vector<std::string>{"cancelled", "", "", ""}));
  for (int i = 0; i < 4; ++i) scheduler.step();
  EXPECT_THAT(heard.samples[0].tokens, IsEmpty());
  EXPECT_FALSE(heard.samples[1].tokens.empty());
  scheduler.cancel(id, 2);
  scheduler.cancel(id, 2);
  scheduler.cancel(id, 9);
  EXPECT_EQ(heard.reasons(), (std::vector<std::string>{"cancelled", "", "cancelled", ""}));
  scheduler.cancel(id);
  EXPECT_THAT(heard.reasons(), Each("cancelled"));
  while (scheduler.step()) {
  }
  EXPECT_EQ(after.reasons(), std::vector<std::string>{"length"});
  EXPECT_EQ(scheduler.state().free_blocks, 200);
  EXPECT_ERROR(scheduler.submit({.prompt = {1}, .samples = 5}), "samples: expected 1 to 4, the sequences of a step");
  EXPECT_ERROR(scheduler.submit({.prompt = {1}, .samples = 0}), "samples: expected 1 to 4");
}

TEST(SamplesTest, ACallbackMayEndItsOwnRequest) {
  FakeModel model(200, kBlockTokens);
  Scheduler scheduler(model, {});
  Heard heard;
  GenerationRequest request = listened({.prompt = tokens_of(6, 10), .samples = 3}, heard);
  int64_t id = -1;
  request.on_token = [&](int64_t sample, const SampledToken&) {
    if (sample == 1) scheduler.cancel(id);
    return true;
  };
  id = scheduler.submit(std::move(request));
  while (scheduler.step()) {
  }
  EXPECT_THAT(heard.reasons(), Each("cancelled"));
  EXPECT_EQ(scheduler.state().free_blocks, 200);
}

TEST(EchoTest, LogprobsOfAPromptAreThoseOfItsTokensInAnyChunksAndCompany) {
  const std::vector<int32_t> prompt = tokens_of(8, 33);
  GenerationRequest request{.prompt = prompt, .slot = 0, .max_new_tokens = 9, .prompt_logprobs = true};
  request.sampling.top_logprobs = 2;
  request.prefix_key = "k";
  for (const int64_t tokens_per_step : {3, 16, 512}) {
    for (const int64_t blocks : {12, 100}) {
      FakeModel model(blocks, kBlockTokens);
      Scheduler scheduler(model, {.context = 48, .tokens_per_step = tokens_per_step});
      std::vector<Heard> heard(4);
      for (size_t i = 0; i < heard.size(); ++i) {
        GenerationRequest given = request;
        given.prompt_logprobs = i != 1;
        scheduler.submit(listened(std::move(given), heard[i]));
        if (i < 2) scheduler.step();
      }
      while (scheduler.step()) {
      }
      EXPECT_LE(model.largest_batch, tokens_per_step);
      EXPECT_THAT(heard[1].prompt, IsEmpty());
      for (const size_t i : {0, 2, 3}) {
        EXPECT_EQ(heard[i].samples, heard[1].samples);
        EXPECT_EQ(heard[i].cached_tokens, 0) << "rows that are asked for are computed";
        ASSERT_EQ(heard[i].prompt.size(), prompt.size() - 1);
        for (size_t t = 1; t < prompt.size(); ++t) {
          const std::vector<float> logits = FakeModel::logits(std::span(prompt).first(t), 0, 50);
          const SampledToken& found = heard[i].prompt[t - 1];
          EXPECT_EQ(found.id, prompt[t]);
          EXPECT_NEAR(found.logprob, logits[prompt[t]] - log_sum_exp(logits), 1e-5);
          ASSERT_EQ(found.top.size(), 2U);
          EXPECT_EQ(found.top[0].id, std::max_element(logits.begin(), logits.end()) - logits.begin());
        }
      }
    }
  }
}

TEST(EchoTest, AStepKeepsFewRowsOfLogitsAndABrokenPromptIsItsOwnFailure) {
  constexpr int64_t kVocab = 300'000;  // 13 rows of 16 MB
  FakeModel model(100, kBlockTokens, kVocab);
  Scheduler scheduler(model, {});
  Heard heard;
  const std::vector<int32_t> prompt = tokens_of(9, 40);
  model.spoil = [](const std::vector<int32_t>& ids, std::vector<float>& logits) {
    if (ids.size() == 30) logits[7] = NAN;
  };
  scheduler.submit(listened({.name = "a", .prompt = prompt, .max_new_tokens = 1, .prompt_logprobs = true}, heard));
  while (scheduler.step()) {
  }
  EXPECT_LE(model.most_asked, 13);
  EXPECT_EQ(heard.samples.front().reason, "error");
  EXPECT_EQ(heard.samples.front().error.find("a: token 31 of the prompt: expected finite logits, found NaN"), 0U);
  EXPECT_EQ(scheduler.state().free_blocks, 100);
}

/// Submit, cancel and step in any order, in caches so small that sequences give way all the time.
TEST(PrefixTest, WhateverComesAndGoesEachAnswerIsItsOwn) {
  int64_t preemptions = 0, cached_tokens = 0, finished = 0;
  for (uint64_t round = 0; round < 60; ++round) {
    SCOPED_TRACE(concat("round ", round));
    uint64_t draws = 0;
    const auto draw = [&](uint64_t below) { return static_cast<int64_t>(mix_seed(round, ++draws) % below); };
    const int64_t blocks = 12 + draw(30);
    FakeModel model(blocks, kBlockTokens);
    model.kinds_matter = true;
    const SchedulerOptions options{
        .context = 44, .tokens_per_step = 1 + draw(40), .max_sequences = 4 + draw(6), .end_ids = {49, 48}};
    Scheduler scheduler(model, options);
    std::map<int64_t, std::pair<GenerationRequest, Heard>> all;
    for (int64_t action = 0; action < 150; ++action) {
      const int64_t which = draw(10);
      if (which < 3) {
        const int64_t slot = draw(3) - 1, number = static_cast<int64_t>(all.size());
        GenerationRequest request{.prompt = tokens_of(static_cast<uint64_t>(draw(3)), 1 + draw(20)), .slot = slot};
        const std::vector<int32_t> rest = tokens_of(static_cast<uint64_t>(number), draw(8));
        request.prompt.insert(request.prompt.end(), rest.begin(), rest.end());
        request.sampling = {.temperature = 1, .seed = static_cast<uint64_t>(number)};
        request.max_new_tokens = 1 + draw(18);
        request.samples = 1 + draw(4);
        request.prompt_logprobs = draw(6) == 0;
        request.tenant = concat(draw(3));
        request.priority = draw(3);
        request.prefix_key = draw(4) == 0 ? "" : concat("slot ", slot);
        auto& [given, heard] = all[number];
        given = request;
        EXPECT_EQ(scheduler.submit(listened(std::move(request), heard)), number);
      } else if (which == 3 && !all.empty()) {
        const int64_t id = draw(all.size());
        if (draw(2) == 0) {
          scheduler.cancel(id);
        } else {
          scheduler.cancel(id, draw(4));
        }
      } else {
        scheduler.step();
        const SchedulerState state = scheduler.state();
        EXPECT_LE(state.running, options.max_sequences);
        EXPECT_EQ(state.blocks, blocks);
      }
    }
    while (scheduler.step()) {
    }
    EXPECT_EQ(scheduler.state().free_blocks, blocks);
    EXPECT_EQ(scheduler.state().running + scheduler.state().waiting, 0);
    EXPECT_LE(model.largest_batch, options.tokens_per_step);
    preemptions += scheduler.num_preemptions();
    cached_tokens += scheduler.state().cached_tokens;
    for (const auto& [id, entry] : all) {
      FakeModel own(blocks, kBlockTokens);
      own.kinds_matter = true;
      const Heard alone = heard_alone(own, entry.first, {.context = 44, .end_ids = {49, 48}});
      for (size_t k = 0; k < alone.samples.size(); ++k) {
        const test::HeardSample& found = entry.second.samples[k];
        if (found.reason != "cancelled") {
          ASSERT_EQ(found, alone.samples[k]) << "request " << id << ", sample " << k;
          ++finished;
          continue;
        }
        ASSERT_LE(found.tokens.size(), alone.samples[k].tokens.size());
        EXPECT_TRUE(std::equal(found.tokens.begin(), found.tokens.end(), alone.samples[k].tokens.begin()));
      }
    }
  }
  EXPECT_GT(preemptions, 500);
  EXPECT_GT(cached_tokens, 2000);
  EXPECT_GT(finished, 2000);
}

}  // namespace
}  // namespace loraxs
