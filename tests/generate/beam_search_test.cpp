#include "generate/beam_search.h"

#include <gtest/gtest.h>

#include <cmath>

#include "generate/beam_scheduler.h"
#include "generate/sampling.h"
#include "io/error.h"
#include "support/expect_error.h"
#include "support/fake_model.h"

namespace loraxs {
namespace {

using test::FakeModel;

constexpr int32_t kEnd = 4;

/// The best answer of all there are: every sequence of at most `most` tokens of a small vocabulary.
void enumerate(std::vector<int32_t>& ids, size_t prompt, int64_t vocab, int64_t most, double penalty, double score,
               BeamAnswer& best) {
  const std::vector<float> logits = FakeModel::logits(ids, kNoSlot, vocab);
  const double normaliser = log_sum_exp(logits);
  for (int32_t v = 0; v < vocab; ++v) {
    ids.push_back(v);
    const double reached = score + (logits[v] - normaliser);
    const auto length = static_cast<int64_t>(ids.size() - prompt);
    if (v != kEnd && length < most) {
      enumerate(ids, prompt, vocab, most, penalty, reached, best);
    } else {
      BeamAnswer answer{.tokens = {ids.begin() + static_cast<long>(prompt), ids.end()},
                        .score = reached / std::pow(static_cast<double>(length), penalty),
                        .ended = v == kEnd};
      if (answer.ended) answer.tokens.pop_back();
      if (best.score == 0 || answer.score > best.score) best = answer;
    }
    ids.pop_back();
  }
}

BeamRequest request(int64_t number, std::vector<BeamAnswer>& answers) {
  BeamRequest request{.slot = number % 3 - 1, .max_new_tokens = 3 + number % 14};
  for (int64_t i = 0; i < 1 + number * 7 % 23; ++i)
    request.prompt.push_back(static_cast<int32_t>((number * 5 + i * i) % 30));
  request.options = {.beams = 2 + number % 4, .returned = 2, .length_penalty = 0.5 * static_cast<double>(number % 4)};
  request.on_finish = [&answers](std::vector<BeamAnswer> found, const std::string&) { answers = std::move(found); };
  return request;
}

TEST(BeamSearchTest, EnoughBeamsFindTheBestAnswerOfAll) {
  constexpr int64_t kVocab = 6, kMost = 4;
  for (const double penalty : {0.0, 1.0, 2.0}) {
    for (int32_t first = 0; first < 5; ++first) {
      SCOPED_TRACE(concat("penalty ", penalty, ", prompt ", first));
      BeamAnswer best;
      std::vector<int32_t> ids = {first, 3};
      enumerate(ids, ids.size(), kVocab, kMost, penalty, 0, best);
      FakeModel model(20'000, 2, kVocab);
      BeamScheduler scheduler(model, {.end_ids = {kEnd}});
      std::vector<BeamAnswer> found;
      scheduler.submit(
          {.prompt = ids,
           .options = {.beams = 1296, .length_penalty = penalty, .early_stopping = EarlyStopping::kNever},
           .max_new_tokens = kMost,
           .on_finish = [&](std::vector<BeamAnswer> answers, const std::string&) { found = std::move(answers); }});
      while (scheduler.step()) {
      }
      ASSERT_EQ(found.size(), 1U);
      EXPECT_EQ(found[0].tokens, best.tokens);
      EXPECT_NEAR(found[0].score, best.score, 1e-9);
      EXPECT_EQ(found[0].ended, best.ended);
    }
  }
}

TEST(BeamSearchTest, AnswersDoNotDependOnWhoElseIsThere) {
  constexpr int64_t kRequests = 24;
  std::vector<std::vector<BeamAnswer>> alone(kRequests), together(kRequests);
  for (int64_t i = 0; i < kRequests; ++i) {
    FakeModel model(100, 4, 30);
    BeamScheduler scheduler(model, {.end_ids = {kEnd}});
    scheduler.submit(request(i, alone[i]));
    while (scheduler.step()) {
    }
  }
  for (const int64_t blocks : {45, 60, 400}) {
    for (const int64_t tokens_per_step : {1, 7, 512}) {
      SCOPED_TRACE(concat(blocks, " blocks, ", tokens_per_step, " tokens a step"));
      FakeModel model(blocks, 4, 30);
      BeamScheduler scheduler(model, {.tokens_per_step = tokens_per_step, .max_sequences = 20, .end_ids = {kEnd}});
      for (int64_t i = 0; i < kRequests; ++i) {
        scheduler.submit(request(i, together[i]));
        if (i % 3 == 0) scheduler.step();  // they join while others run
      }
      while (scheduler.step()) {
      }
      EXPECT_GT(model.copies, 0);
      for (int64_t i = 0; i < kRequests; ++i) {
        ASSERT_EQ(together[i].size(), 2U);
        for (size_t k = 0; k < 2; ++k) {
          EXPECT_EQ(together[i][k].tokens, alone[i][k].tokens) << i;
          EXPECT_EQ(together[i][k].score, alone[i][k].score) << i;
        }
        EXPECT_GE(together[i][0].score, together[i][1].score);
      }
    }
  }
}

TEST(BeamSearchTest, AFailureIsTheSearchsOwn) {
  constexpr int64_t kRequests = 10, kBroken = 5;
  std::vector<std::vector<BeamAnswer>> alone(kRequests), together(kRequests);
  for (int64_t i = 0; i < kRequests; ++i) {
    FakeModel model(100, 4, 30);
    BeamScheduler scheduler(model, {.end_ids = {kEnd}});
    scheduler.submit(request(i, alone[i]));
    while (scheduler.step()) {
    }
  }
  for (const size_t answered : {size_t{0}, size_t{2}}) {
    SCOPED_TRACE(concat("after ", answered, " tokens"));
    FakeModel model(60, 4, 30);
    const std::vector<int32_t> prompt = request(kBroken, together[0]).prompt;
    model.spoil = [&](const std::vector<int32_t>& ids, std::vector<float>& logits) {
      const bool broken =
          ids.size() >= prompt.size() + answered && std::equal(prompt.begin(), prompt.end(), ids.begin());
      if (broken) std::fill(logits.begin(), logits.end(), -INFINITY);
    };
    BeamScheduler scheduler(model, {.max_sequences = 20, .end_ids = {kEnd}});
    std::string sentence;
    for (int64_t i = 0; i < kRequests; ++i) {
      BeamRequest given = request(i, together[i]);
      if (i == kBroken) {
        given.on_finish = [&](const std::vector<BeamAnswer>& found, const std::string& error) {
          EXPECT_TRUE(found.empty());
          sentence = error;
        };
      }
      scheduler.submit(std::move(given));
    }
    while (scheduler.step()) {
    }
    EXPECT_EQ(sentence.find(concat("request: token ", answered + 1,
                                   " of the answer: expected finite logits, found none above -inf")),
              0U)
        << sentence;
    for (int64_t i = 0; i < kRequests; ++i) {
      if (i == kBroken) continue;
      ASSERT_EQ(together[i].size(), alone[i].size()) << i;
      for (size_t k = 0; k < alone[i].size(); ++k) {
        EXPECT_EQ(together[i][k].tokens, alone[i][k].tokens) << i;
        EXPECT_EQ(together[i][k].score, alone[i][k].score) << i;
      }
    }
  }
}

TEST(BeamSearchTest, BeamsShareThePromptsBlocks) {
  FakeModel model(100, 4, 30);
  BeamScheduler scheduler(model, {});
  std::vector<BeamAnswer> answers;
  BeamRequest given = request(0, answers);
  given.prompt.assign(41, 7);
  given.max_new_tokens = 4;
  given.options.beams = 4;
  scheduler.submit(std::move(given));
  while (scheduler.step()) {
  }
  EXPECT_LE(scheduler.most_blocks(), 10 + 4 * 2);  // ten whole blocks once, and at most two more of each beam
  EXPECT_EQ(answers.size(), 2U);
}

TEST(BeamSearchTest, AStopEndsAnAnswer) {
  FakeModel model(100, 4, 30);
  std::vector<BeamAnswer> whole, stopped;
  for (auto* answers : {&whole, &stopped}) {
    BeamScheduler scheduler(model, {});
    BeamRequest given = request(5, *answers);
    if (answers == &stopped) {
      given.ends = [&](std::span<const int32_t> tokens) { return tokens.back() == whole[0].tokens[1]; };
    }
    scheduler.submit(std::move(given));
    while (scheduler.step()) {
    }
  }
  EXPECT_FALSE(whole[0].ended);
  EXPECT_TRUE(stopped[0].ended);
  EXPECT_EQ(stopped[0].tokens.back(), whole[0].tokens[1]);
}

TEST(BeamSearchTest, RefusesWhatCannotBeSearched) {
  FakeModel model(8, 4, 30);
  BeamScheduler scheduler(model, {.context = 40});
  const auto submit = [&](int64_t prompt, BeamOptions options, int64_t tokens = 4) {
    scheduler.submit(
        {.name = "a.jsonl:3", .prompt = std::vector<int32_t>(prompt, 1), .options = options, .max_new_tokens = tokens});
  };
  EXPECT_ERROR(submit(0, {}), "a.jsonl:3: expected a prompt of at least one token");
  EXPECT_ERROR(submit(40, {}), "expected a prompt of at most 39 tokens");
  scheduler.submit({.prompt = {29}, .options = {.beams = 1}, .max_new_tokens = 1});
  while (scheduler.step()) {
  }
  EXPECT_ERROR(scheduler.submit({.prompt = {30}}), "request: expected token ids from 0 to 29, the model's, found 30");
  EXPECT_ERROR(submit(1, {.beams = 0}), "beams: expected an integer ≥ 1, found 0");
  EXPECT_ERROR(submit(1, {.beams = 3, .returned = 4}), "n: expected from 1 to 3 answers of 3 beams, found 4");
  EXPECT_ERROR(submit(1, {.length_penalty = NAN}), "length penalty: expected a number");
  EXPECT_ERROR(submit(9, {.beams = 4}, 20), "expected a search that 8 blocks of the cache hold");
  EXPECT_EQ(scheduler.num_requests(), 0);
}

}  // namespace
}  // namespace loraxs
