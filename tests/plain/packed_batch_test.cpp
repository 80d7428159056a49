#include "batch/packed_batch.h"

#include <gmock/gmock.h>

namespace loraxs {
namespace {

using testing::ElementsAre;

Sequence sequence(std::vector<int32_t> ids, int64_t slot, uint64_t example = 0, uint64_t seed = 0, int64_t step = 0) {
  return {.input_ids = std::move(ids), .slot = slot, .example = example, .seed = seed, .step = step};
}

TEST(PackedBatchTest, SequencesStandEndToEndWithPositionsFromZero) {
  const std::vector<Sequence> sequences = {sequence({5, 6, 7}, 0), sequence({8}, 0), sequence({9, 10}, 1)};
  const PackedBatch batch = pack(sequences);
  EXPECT_THAT(batch.input_ids, ElementsAre(5, 6, 7, 8, 9, 10));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 0, 0, 1));
  EXPECT_THAT(batch.starts, ElementsAre(0, 3, 4, 6));
  EXPECT_EQ(batch.max_length, 3);
  EXPECT_EQ(batch.num_tokens(), 6);
  EXPECT_EQ(batch.num_sequences(), 3);
}

TEST(PackedBatchTest, SegmentsAreMaximalRunsOfOneSlot) {
  const std::vector<Sequence> sequences = {sequence({1, 2}, 0), sequence({3}, 0), sequence({4}, kNoSlot),
                                           sequence({5, 6}, 0)};
  const PackedBatch batch = pack(sequences);
  const auto tokens = token_segments(batch);
  ASSERT_EQ(tokens.size(), 3U);
  EXPECT_EQ(tokens[0].end, 3);
  EXPECT_EQ(tokens[1].slot, kNoSlot);
  EXPECT_EQ(tokens[2].begin, 4);
  EXPECT_EQ(tokens[2].end, 6);
  const auto rows = sequence_segments(batch);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].end, 2);
  EXPECT_EQ(rows[2].begin, 3);
}

TEST(PackedBatchTest, DropoutKeysDependOnJobStepAndExampleNotOnThePlace) {
  const auto key = [](uint64_t seed, int64_t step, uint64_t example) {
    return pack(std::vector<Sequence>{sequence({1}, 0, example, seed, step)}).dropout_keys[0];
  };
  const std::vector<Sequence> two = {sequence({1, 2}, 0, 3, 9, 9), sequence({1}, 1, 7, 5, 2)};
  EXPECT_EQ(pack(two).dropout_keys[1], key(5, 2, 7));
  EXPECT_NE(key(5, 2, 7), key(6, 2, 7));
  EXPECT_NE(key(5, 2, 7), key(5, 3, 7));
  EXPECT_NE(key(5, 2, 7), key(5, 2, 8));
}

TEST(PackedBatchTest, AnEmptySequenceIsRefused) {
  EXPECT_THROW(pack(std::vector<Sequence>{sequence({}, 0)}), std::invalid_argument);
}

TEST(PackedBatchTest, AsksForWhatTheLossReadsOrTheNextTokenOrAll) {
  const Sequence answer{.input_ids = {5, 6, 7, 8}, .is_target = {1, 0, 1, 1}, .slot = 0};  // nothing predicts the first
  const Sequence question{.input_ids = {9, 9}, .is_target = {0, 0}, .slot = 1, .asks_next = true};
  const Sequence labelled{.input_ids = {3, 4}, .slot = 2};
  const std::vector<Sequence> all = {answer, question, labelled};
  const PackedBatch loss = pack(all);
  EXPECT_EQ(loss.asked_rows, (std::vector<int32_t>{1, 2, 6}));
  EXPECT_EQ(loss.asked_starts, (std::vector<int32_t>{0, 2, 2, 3}));
  EXPECT_EQ(loss.target_ids, (std::vector<int32_t>{7, 8, -1}));
  EXPECT_EQ(loss_terms(answer), 2);
  EXPECT_EQ(loss_terms(question), 0);
  EXPECT_EQ(loss_terms(labelled), 1);
  const auto rows = asked_segments(loss);
  ASSERT_EQ(rows.size(), 2U);  // the question has none
  EXPECT_EQ(rows[1].begin, 2);
  EXPECT_EQ(rows[1].slot, 2);
  EXPECT_EQ(pack(all, Ask::kNext).asked_rows, (std::vector<int32_t>{1, 2, 5}));
  EXPECT_EQ(pack(all, Ask::kAll).num_asked(), 8);
}

}  // namespace
}  // namespace loraxs
