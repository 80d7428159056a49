// support/fake_model.h: a step model without weights, for tests of schedulers.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "generate/step_model.h"
#include "io/seeds.h"

namespace loraxs::test {

/// A model whose next token is a function of everything its sequence wrote into the cache, and of the slot. It checks
/// what a real cache would suffer from silently: positions that were never written, blocks that one sequence writes and
/// another uses. With `kinds_matter` it is also a function of how each position was written: by which slot, and as a
/// prompt's or an answer's, as rows of real models are.
class FakeModel : public StepModel {
 public:
  FakeModel(int64_t blocks, int64_t block_tokens, int64_t vocab = 50)
      : block_tokens_(block_tokens), vocab_(vocab), places_(blocks * block_tokens) {}

  bool kinds_matter = false;
  std::function<void(const PackedBatch&)> on_step;
  std::function<bool()> wanted;  // an interruption, as the scheduler says; on_step may throw it

  std::span<const float> step(const PackedBatch& batch) override {
    ++steps;
    largest_batch = std::max(largest_batch, batch.num_tokens());
    logits_.clear();
    most_asked = std::max(most_asked, batch.num_asked());
    check_blocks(batch);
    if (on_step) on_step(batch);
    for (int64_t s = 0; s < batch.num_sequences(); ++s) {
      const int32_t* table = batch.block_tables.data() + s * batch.blocks_per_sequence;
      for (int32_t row = batch.starts[s]; row < batch.starts[s + 1]; ++row)
        place(table, batch.positions[row]) = batch.input_ids[row] + 1 + kind(batch, s, row);
      for (int32_t asked = batch.asked_starts[s]; asked < batch.asked_starts[s + 1]; ++asked) {
        std::vector<int32_t> ids;
        for (int64_t p = 0; p <= batch.positions[batch.asked_rows[asked]]; ++p) {
          EXPECT_NE(place(table, p), 0) << "position " << p << " was never computed";
          ids.push_back(place(table, p) - 1);
        }
        std::vector<float> row = logits(ids, batch.slots[s], vocab_);
        if (spoil) spoil(ids, row);
        logits_.insert(logits_.end(), row.begin(), row.end());
      }
    }
    return logits_;
  }
  void interrupt_when(std::function<bool()> says) override { wanted = std::move(says); }
  void copy_block(int32_t from, int32_t to) override {
    ++copies;
    std::copy_n(places_.begin() + from * block_tokens_, block_tokens_, places_.begin() + to * block_tokens_);
  }
  int64_t vocab_size() const override { return vocab_; }
  int64_t num_blocks() const override { return static_cast<int64_t>(places_.size()) / block_tokens_; }
  int64_t tokens_per_block() const override { return block_tokens_; }

  /// The logits [vocab] behind `ids`.
  static std::vector<float> logits(std::span<const int32_t> ids, int64_t slot, int64_t vocab) {
    uint64_t state = mix_seed(7, static_cast<uint64_t>(slot + 1));
    for (const int32_t id : ids) state = mix_seed(state, static_cast<uint64_t>(id + 1));
    std::vector<float> row;
    for (int64_t v = 0; v < vocab; ++v)
      row.push_back(static_cast<float>(mix_seed(state, static_cast<uint64_t>(v)) >> 40) / 4194304.0F);
    return row;
  }

  int64_t steps = 0, largest_batch = 0, copies = 0, most_asked = 0;
  std::function<void(const std::vector<int32_t>& ids, std::vector<float>& logits)> spoil;  // as broken weights would

 private:
  int32_t kind(const PackedBatch& batch, int64_t sequence, int32_t row) const {
    if (!kinds_matter) return 0;
    const bool answer = std::binary_search(batch.answer_rows.begin(), batch.answer_rows.end(), row);
    return static_cast<int32_t>(vocab_ * (2 * (batch.slots[sequence] + 1) + (answer ? 1 : 0)));
  }
  void check_blocks(const PackedBatch& batch) const {
    std::map<int32_t, int64_t> users;
    std::set<int32_t> written;
    for (int64_t s = 0; s < batch.num_sequences(); ++s) {
      const int32_t* table = batch.block_tables.data() + s * batch.blocks_per_sequence;
      const int64_t last = batch.positions[batch.starts[s + 1] - 1] / block_tokens_;
      for (int64_t b = 0; b <= last; ++b) ++users[table[b]];
      for (int64_t b = batch.positions[batch.starts[s]] / block_tokens_; b <= last; ++b) written.insert(table[b]);
    }
    for (const int32_t block : written) {
      EXPECT_EQ(users[block], 1) << "a sequence writes block " << block << ", which another one uses";
    }
  }
  int32_t& place(const int32_t* table, int64_t position) {
    return places_.at(table[position / block_tokens_] * block_tokens_ + position % block_tokens_);
  }

  int64_t block_tokens_, vocab_;
  std::vector<int32_t> places_;
  std::vector<float> logits_;
};

}  // namespace loraxs::test
