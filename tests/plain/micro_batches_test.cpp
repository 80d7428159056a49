// How a step of many jobs is cut: a job's pieces depend on its own lengths alone.
#include "batch/micro_batches.h"

#include <gmock/gmock.h>

#include <numeric>

namespace loraxs {
namespace {

using testing::ElementsAre;

std::vector<std::vector<BatchPiece>> cut_all(const std::vector<std::vector<int64_t>>& lengths, int64_t tokens,
                                             int64_t parts) {
  std::vector<std::vector<BatchPiece>> cuts;
  for (const std::vector<int64_t>& job : lengths) cuts.push_back(cut_step(job, tokens, parts));
  return cuts;
}

std::vector<int64_t> lengths_of(int64_t job, int64_t count) {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < count; ++i) lengths.push_back(3 + (job * 31 + i * 17) % 60);
  return lengths;
}

TEST(MicroBatchesTest, SmallJobsShareABatchAndLargeOnesAreCut) {
  const auto plan = group_pieces(cut_all({{10, 10}, {20, 10}, {30, 30, 30, 30}, {10}}, 60, 1), /*tokens=*/60);
  ASSERT_EQ(plan.size(), 4U);
  EXPECT_THAT(plan[0], ElementsAre(JobPiece{0, {0, 2, 20}}, JobPiece{1, {0, 2, 30}}));
  EXPECT_THAT(plan[1], ElementsAre(JobPiece{2, {0, 2, 60}}));
  EXPECT_THAT(plan[2], ElementsAre(JobPiece{2, {2, 4, 60}}));
  EXPECT_THAT(plan[3], ElementsAre(JobPiece{3, {0, 1, 10}}));
}

TEST(MicroBatchesTest, AJobIsCutByItsOwnBudgetAndGroupedByAnother) {
  const std::vector<std::vector<BatchPiece>> cuts = {cut_step(std::vector<int64_t>{30, 30, 30, 30}, 30, 1),
                                                     cut_step(std::vector<int64_t>{30, 30, 30, 30}, 120, 1)};
  EXPECT_THAT(cuts[0],
              ElementsAre(BatchPiece{0, 1, 30}, BatchPiece{1, 2, 30}, BatchPiece{2, 3, 30}, BatchPiece{3, 4, 30}));
  EXPECT_THAT(cuts[1], ElementsAre(BatchPiece{0, 4, 120}));
  const auto wide = group_pieces(cuts, 150), narrow = group_pieces(cuts, 10);
  ASSERT_EQ(wide.size(), 4U);  // no two pieces of one job together
  EXPECT_THAT(wide[3], ElementsAre(JobPiece{0, {3, 4, 30}}, JobPiece{1, {0, 4, 120}}));
  EXPECT_EQ(narrow.size(), 5U);  // a piece above the engine's budget stands alone
}

TEST(MicroBatchesTest, BudgetIsWhatTheRecipeSaysOrFollowsTheMeanStep) {
  EXPECT_EQ(micro_batch_tokens(64, 5000), 64);
  EXPECT_EQ(micro_batch_tokens(0, 8 * 11), 192);
  EXPECT_EQ(micro_batch_tokens(0, 32 * 11), 704);
  EXPECT_EQ(micro_batch_tokens(0, 32 * 50), 1024);
}

TEST(MicroBatchesTest, PartsAreMadeAsFarAsThereAreSequences) {
  EXPECT_THAT(cut_step(std::vector<int64_t>{5, 5, 5, 5}, 1000, 2),
              ElementsAre(BatchPiece{0, 2, 10}, BatchPiece{2, 4, 10}));
  EXPECT_EQ(cut_step(std::vector<int64_t>{5, 5}, 1000, 4).size(), 2U);
  EXPECT_EQ(cut_step(std::vector<int64_t>{1, 1, 1, 500}, 1000, 4).size(), 4U);  // one each, whatever their lengths
  EXPECT_EQ(cut_step(std::vector<int64_t>{500, 1, 1, 1}, 1000, 4).size(), 4U);
  EXPECT_TRUE(cut_step({}, 1000, 4).empty());
}

TEST(MicroBatchesTest, EverySequenceOnceInOrderAndNeighboursDoNotMoveACut) {
  std::vector<std::vector<int64_t>> lengths;
  for (int64_t job = 0; job < 30; ++job) lengths.push_back(lengths_of(job, 1 + job * 7 % 40));
  for (const int64_t tokens : {16, 100, 400, 100000}) {
    for (const int64_t parts : {1, 3}) {
      std::vector<std::vector<BatchPiece>> found(lengths.size());
      for (const auto& batch : group_pieces(cut_all(lengths, tokens, parts), tokens)) {
        int64_t used = 0;
        for (const auto& [job, piece] : batch) {
          const auto& all = lengths[job];
          EXPECT_EQ(piece.tokens, std::accumulate(all.begin() + piece.begin, all.begin() + piece.end, int64_t{0}));
          used += piece.tokens;
          EXPECT_EQ(piece.begin, found[job].empty() ? 0 : found[job].back().end);
          found[job].push_back(piece);
        }
        EXPECT_TRUE(batch.size() == 1 || used <= tokens);
        EXPECT_LT(used, tokens + 63);  // a piece may pass the budget by less than one sequence
      }
      for (size_t job = 0; job < lengths.size(); ++job) {
        EXPECT_EQ(found[job].back().end, static_cast<int64_t>(lengths[job].size()));
        EXPECT_EQ(found[job], cut_step(lengths[job], tokens, parts));
      }
    }
  }
}

}  // namespace
}  // namespace loraxs
