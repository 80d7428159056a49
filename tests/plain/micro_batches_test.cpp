// How a step of many jobs is cut: a job's pieces depend on its own lengths alone.
#include "batch/micro_batches.h"

#include <gmock/gmock.h>

#include <numeric>

namespace loraxs {
namespace {

using testing::ElementsAre;

std::vector<int64_t> lengths_of(int64_t job, int64_t count) {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < count; ++i) lengths.push_back(3 + (job * 31 + i * 17) % 60);
  return lengths;
}

TEST(MicroBatchesTest, SmallJobsShareABatchAndLargeOnesAreCut) {
  const std::vector<std::vector<int64_t>> lengths = {{10, 10}, {20, 10}, {30, 30, 30, 30}, {10}};
  const auto plan = plan_micro_batches(lengths, /*tokens=*/60, /*parts=*/1);
  ASSERT_EQ(plan.size(), 4U);
  EXPECT_THAT(plan[0], ElementsAre(BatchPiece{0, 0, 2}, BatchPiece{1, 0, 2}));
  EXPECT_THAT(plan[1], ElementsAre(BatchPiece{2, 0, 2}));
  EXPECT_THAT(plan[2], ElementsAre(BatchPiece{2, 2, 4}));
  EXPECT_THAT(plan[3], ElementsAre(BatchPiece{3, 0, 1}));
}

TEST(MicroBatchesTest, BudgetIsWhatTheRecipeSaysOrFollowsTheMeanStep) {
  EXPECT_EQ(micro_batch_tokens(64, 5000), 64);
  EXPECT_EQ(micro_batch_tokens(0, 8 * 11), 192);
  EXPECT_EQ(micro_batch_tokens(0, 32 * 11), 704);
  EXPECT_EQ(micro_batch_tokens(0, 32 * 50), 1024);
}

TEST(MicroBatchesTest, PartsAreMadeAsFarAsThereAreSequences) {
  EXPECT_THAT(cut_step(0, std::vector<int64_t>{5, 5, 5, 5}, 1000, 2),
              ElementsAre(BatchPiece{0, 0, 2}, BatchPiece{0, 2, 4}));
  EXPECT_EQ(cut_step(0, std::vector<int64_t>{5, 5}, 1000, 4).size(), 2U);
  EXPECT_EQ(cut_step(0, std::vector<int64_t>{1, 1, 1, 500}, 1000, 4).size(), 4U);  // one each, whatever their lengths
  EXPECT_EQ(cut_step(0, std::vector<int64_t>{500, 1, 1, 1}, 1000, 4).size(), 4U);
  EXPECT_TRUE(cut_step(0, {}, 1000, 4).empty());
}

TEST(MicroBatchesTest, EverySequenceOnceInOrderAndNeighboursDoNotMoveACut) {
  std::vector<std::vector<int64_t>> lengths;
  for (int64_t job = 0; job < 30; ++job) lengths.push_back(lengths_of(job, 1 + job * 7 % 40));
  for (const int64_t tokens : {16, 100, 400, 100000}) {
    for (const int64_t parts : {1, 3}) {
      std::vector<std::vector<BatchPiece>> found(lengths.size());
      for (const auto& batch : plan_micro_batches(lengths, tokens, parts)) {
        int64_t used = 0;
        for (const BatchPiece& piece : batch) {
          const auto& all = lengths[piece.job];
          used += std::accumulate(all.begin() + piece.begin, all.begin() + piece.end, int64_t{0});
          EXPECT_EQ(piece.begin, found[piece.job].empty() ? 0 : found[piece.job].back().end);
          found[piece.job].push_back(piece);
        }
        EXPECT_TRUE(batch.size() == 1 || used <= tokens);
        EXPECT_LT(used, tokens + 63);  // a piece may pass the budget by less than one sequence
      }
      for (size_t job = 0; job < lengths.size(); ++job) {
        EXPECT_EQ(found[job].back().end, static_cast<int64_t>(lengths[job].size()));
        EXPECT_EQ(found[job], cut_step(static_cast<int64_t>(job), lengths[job], tokens, parts));
      }
    }
  }
}

}  // namespace
}  // namespace loraxs
