#include "generate/scheduler.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "support/expect_error.h"
#include "support/fake_model.h"
#include "support/heard.h"

namespace loraxs {
namespace {

using testing::ElementsAre;

using test::FakeModel;

using Answer = test::HeardSample;

GenerationRequest request(int64_t number, Answer& answer) {
  GenerationRequest request;
  for (int64_t i = 0; i < 1 + number * 7 % 23; ++i)
    request.prompt.push_back(static_cast<int32_t>((number * 5 + i * i) % 50));
  request.slot = number % 4 - 1;
  request.max_new_tokens = 5 + number % 17;
  if (number % 2 == 1) request.sampling = {.temperature = 0.9, .top_p = 0.8, .seed = static_cast<uint64_t>(number)};
  request.on_token = [&answer](int64_t, const SampledToken& token) {
    answer.tokens.push_back(token.id);
    return true;
  };
  request.on_finish = [&answer](int64_t, FinishReason reason, const std::string& error) {
    answer.reason = finish_reason_name(reason);
    answer.error = error;
  };
  return request;
}

std::vector<Answer> alone(int64_t count) {
  std::vector<Answer> answers(count);
  for (int64_t i = 0; i < count; ++i) {
    FakeModel model(64, 4);
    Scheduler scheduler(model, {.end_ids = {49}});
    scheduler.submit(request(i, answers[i]));
    while (scheduler.step()) {
    }
  }
  return answers;
}

TEST(SchedulerTest, AnswersDoNotDependOnWhoElseIsThere) {
  constexpr int64_t kRequests = 30;
  const std::vector<Answer> expected = alone(kRequests);
  std::set<std::vector<int32_t>> different;
  for (const Answer& answer : expected) different.insert(answer.tokens);
  EXPECT_GT(different.size(), 25U);
  for (const int64_t blocks : {11, 20, 200}) {
    for (const int64_t tokens_per_step : {1, 5, 512}) {
      SCOPED_TRACE(concat(blocks, " blocks, ", tokens_per_step, " tokens a step"));
      FakeModel model(blocks, 4);
      Scheduler scheduler(model,
                          {.context = 44, .tokens_per_step = tokens_per_step, .max_sequences = 9, .end_ids = {49}});
      std::vector<Answer> answers(kRequests);
      for (int64_t i = 0; i < kRequests; ++i) {
        scheduler.submit(request(i, answers[i]));
        if (i % 3 == 0) scheduler.step();  // they join while others run
      }
      while (scheduler.step()) {
      }
      EXPECT_EQ(answers, expected);
      EXPECT_LE(model.largest_batch, tokens_per_step);
      EXPECT_EQ(scheduler.num_preemptions() > 0, blocks < 200 && tokens_per_step > 1) << scheduler.num_preemptions();
    }
  }
}

/// Puts `value` among the logits behind prompts that start as request `number`'s, once `answered` tokens are there.
void spoil(FakeModel& model, int64_t number, size_t answered, float value, size_t at = 3) {
  Answer unused;
  model.spoil = [prompt = request(number, unused).prompt, answered, value, at](const std::vector<int32_t>& ids,
                                                                               std::vector<float>& logits) {
    if (ids.size() >= prompt.size() + answered && std::equal(prompt.begin(), prompt.end(), ids.begin()))
      logits[at] = value;
  };
}

TEST(SchedulerTest, AFailureIsTheRequestsOwn) {
  constexpr int64_t kRequests = 12, kBroken = 8;  // the eighth's prompt is no other's beginning
  const std::vector<Answer> expected = alone(kRequests);
  for (const float value : {NAN, INFINITY}) {
    for (const int64_t blocks : {20, 200}) {
      for (const size_t answered : {size_t{0}, size_t{3}}) {
        SCOPED_TRACE(concat(value, ", ", blocks, " blocks, at token ", answered));
        FakeModel model(blocks, 4);
        spoil(model, kBroken, answered, value);
        Scheduler scheduler(model, {.context = 44, .max_sequences = 9, .end_ids = {49}});
        std::vector<Answer> answers(kRequests);
        for (int64_t i = 0; i < kRequests; ++i) {
          GenerationRequest given = request(i, answers[i]);
          given.name = concat("a.jsonl:", i);
          scheduler.submit(std::move(given));
        }
        while (scheduler.step()) {
        }
        EXPECT_EQ(answers[kBroken].reason, "error");
        EXPECT_EQ(answers[kBroken].error.find(concat("a.jsonl:8: token ", answered + 1,
                                                     " of the answer: expected finite "
                                                     "logits, found ",
                                                     std::isnan(value) ? "NaN" : "+inf", " for token 3")),
                  0U)
            << answers[kBroken].error;
        const std::vector<int32_t>& whole = expected[kBroken].tokens;
        EXPECT_EQ(answers[kBroken].tokens, std::vector(whole.begin(), whole.begin() + static_cast<long>(answered)));
        for (int64_t i = 0; i < kRequests; ++i) {
          EXPECT_TRUE(i == kBroken || answers[i] == expected[i]) << i;
        }
        EXPECT_EQ(scheduler.num_requests(), 0);
        Answer later;  // the blocks are free again
        scheduler.submit(request(2, later));
        while (scheduler.step()) {
        }
        EXPECT_EQ(later, expected[2]);
      }
    }
  }
}

TEST(SchedulerTest, AnErrorOfACallbackIsItsRequestsFailure) {
  FakeModel model(64, 4);
  Scheduler scheduler(model, {.end_ids = {49}});
  std::vector<Answer> answers(2);
  GenerationRequest given = request(4, answers[0]);
  given.on_token = [&](int64_t, const SampledToken&) -> bool { throw Error("no text"); };
  scheduler.submit(std::move(given));
  scheduler.submit(request(5, answers[1]));
  while (scheduler.step()) {
  }
  EXPECT_EQ(answers[0].reason, "error");
  EXPECT_EQ(answers[0].error, "request: token 1 of the answer: no text");
  EXPECT_EQ(answers[1], alone(6)[5]);
}

TEST(SchedulerTest, ManyRequestsShareAStep) {
  FakeModel model(200, 4);
  Scheduler scheduler(model, {});
  std::vector<Answer> answers(8);
  for (int64_t i = 0; i < 8; ++i) {
    GenerationRequest given = request(i, answers[i]);
    given.max_new_tokens = 10;
    scheduler.submit(std::move(given));
  }
  while (scheduler.step()) {
  }
  EXPECT_EQ(model.steps, 10);
}

TEST(SchedulerTest, EndsAtEndTokensAtTheCallbacksWishAtTheContextAndWhenCancelled) {
  FakeModel model(16, 4);
  Answer whole;
  {
    Scheduler scheduler(model, {});
    scheduler.submit(request(4, whole));
    while (scheduler.step()) {
    }
    ASSERT_EQ(whole.reason, "length");
    ASSERT_EQ(whole.tokens.size(), 9U);
  }
  Answer answer;
  Scheduler ends(model, {.end_ids = {whole.tokens[3]}});
  ends.submit(request(4, answer));
  while (ends.step()) {
  }
  EXPECT_EQ(answer.reason, "stop");
  EXPECT_EQ(answer.tokens, std::vector(whole.tokens.begin(), whole.tokens.begin() + 3));

  Answer stopped;
  Scheduler scheduler(model, {});
  GenerationRequest given = request(4, stopped);
  given.on_token = [&](int64_t, const SampledToken& token) {
    stopped.tokens.push_back(token.id);
    return stopped.tokens.size() < 2;
  };
  scheduler.submit(std::move(given));
  while (scheduler.step()) {
  }
  EXPECT_EQ(stopped.reason, "stop");
  EXPECT_EQ(stopped.tokens.size(), 2U);

  Answer cut;
  const auto prompt = static_cast<int64_t>(request(4, cut).prompt.size());
  Scheduler narrow(model, {.context = prompt + 4});
  narrow.submit(request(4, cut));
  while (narrow.step()) {
  }
  EXPECT_EQ(cut.reason, "length");
  EXPECT_EQ(cut.tokens.size(), 4U);

  Answer cancelled;
  const int64_t id = scheduler.submit(request(5, cancelled));
  EXPECT_TRUE(scheduler.step());
  scheduler.cancel(id);
  EXPECT_EQ(cancelled.reason, "cancelled");
  EXPECT_FALSE(scheduler.step());
}

TEST(SchedulerTest, RefusesWhatCannotBeAnswered) {
  FakeModel model(4, 4);
  Scheduler scheduler(model, {.context = 2048});
  const auto submit = [&](std::vector<int32_t> prompt, SamplingOptions sampling = {}, int64_t tokens = 4) {
    scheduler.submit(
        {.name = "a.jsonl:3", .prompt = std::move(prompt), .sampling = sampling, .max_new_tokens = tokens});
  };
  EXPECT_ERROR(submit({}), "a.jsonl:3: expected a prompt of at least one token, found none");
  EXPECT_ERROR(submit(std::vector<int32_t>(16, 1)), "expected a prompt of at most 15 tokens (context 16), found 16");
  EXPECT_ERROR(submit({1, 50}), "a.jsonl:3: expected token ids from 0 to 49, the model's, found 50");
  EXPECT_ERROR(submit({-1, 2}), "expected token ids from 0 to 49, the model's, found -1");
  EXPECT_ERROR(submit({1}, {}, 0), "new tokens: expected at least 1, found 0");
  EXPECT_ERROR(submit({1}, {.temperature = -1}), "temperature: expected a number ≥ 0 (0 is greedy), found -1");
  EXPECT_ERROR(submit({1}, {.temperature = 1, .top_p = 0}), "top-p: expected a number above 0 and at most 1, found 0");
  EXPECT_ERROR(submit({1}, {.temperature = 1, .top_p = 1.5}), "top-p: expected");
  EXPECT_ERROR(submit({1}, {.temperature = 1, .min_p = 1}), "min-p: expected a number from 0 to below 1, found 1");
  EXPECT_ERROR(submit({1}, {.temperature = 1, .top_k = -1}), "top-k: expected an integer ≥ 0");
  EXPECT_ERROR(submit({1}, {.repetition_penalty = 0}), "repetition penalty: expected a number above 0, found 0");
  EXPECT_ERROR(submit({1}, {.temperature = NAN}), "temperature: expected");
  for (const double beyond_float : {1e-300, 1e300}) {
    EXPECT_ERROR(submit({1}, {.temperature = beyond_float}), "in float32's range");
    EXPECT_ERROR(submit({1}, {.repetition_penalty = beyond_float}), "in float32's range");
  }
  EXPECT_ERROR(submit({1}, {.top_p = 0.9}), "temperature 0 draws nothing");
  for (const double beyond : {-2.01, 2.01, static_cast<double>(NAN)}) {
    EXPECT_ERROR(submit({1}, {.frequency_penalty = beyond}), "frequency penalty: expected a number from -2 to 2");
    EXPECT_ERROR(submit({1}, {.presence_penalty = beyond}), "presence penalty: expected a number from -2 to 2");
  }
  EXPECT_ERROR(submit({1}, {.logit_bias = {{3, 100.5F}}}), "logit_bias of 3: expected a number from -100 to 100");
  EXPECT_ERROR(submit({1}, {.logit_bias = {{50, 1}}}),
               "logit_bias: expected token ids from 0 to 49, the model's, found 50");
  EXPECT_ERROR(submit({1}, {.logit_bias = {{-1, 1}}}), "logit_bias: expected token ids from 0 to 49");
  std::map<int32_t, float> many;
  for (int32_t id = 0; id < 301; ++id) many[id] = 1;
  EXPECT_ERROR(submit({1}, {.logit_bias = many}), "logit_bias: expected at most 300 tokens, found 301");
  EXPECT_EQ(scheduler.num_requests(), 0);
}

TEST(BlockPoolTest, SharedBlocksAreFreeWhenTheLastLetsGo) {
  BlockPool pool(3);
  EXPECT_EQ(pool.take(), 0);
  EXPECT_EQ(pool.take(), 1);
  pool.share(0);
  pool.release(0);
  EXPECT_EQ(pool.references(0), 1);
  EXPECT_EQ(pool.num_free(), 1);
  pool.release(0);
  EXPECT_EQ(pool.take(), 0);
  EXPECT_EQ(pool.take(), 2);
  EXPECT_EQ(pool.take(), std::nullopt);
  pool.release(1);
  EXPECT_THROW(pool.release(1), std::logic_error);
  EXPECT_THROW(pool.share(1), std::logic_error);
}

TEST(PackedBatchTest, CachedSequencesGoOnWhereTheyWereAndNameTheirBlocks) {
  Sequence prefill{.input_ids = {5, 6, 7}, .slot = 0}, decode{.input_ids = {8}, .slot = 1};
  prefill.blocks = {4};
  decode.first_position = 20;
  decode.blocks = {2, 0, 9};
  decode.asks_next = true;
  const PackedBatch batch = pack(std::vector{prefill, decode}, Ask::kNext);
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 20));
  EXPECT_EQ(batch.blocks_per_sequence, 3);
  EXPECT_THAT(batch.block_tables, ElementsAre(4, 0, 0, 2, 0, 9));
  EXPECT_THAT(batch.asked_rows, ElementsAre(3));
}

}  // namespace
}  // namespace loraxs
