#include "batch/packed_batch.h"

#include <algorithm>
#include <stdexcept>

#include "io/seeds.h"

namespace loraxs {

namespace {

void ask_for(PackedBatch& batch, const Sequence& sequence, int32_t start, Ask ask) {
  const auto length = static_cast<int32_t>(sequence.input_ids.size());
  const auto add = [&](int32_t at, int32_t target) {
    batch.asked_rows.push_back(start + at);
    batch.target_ids.push_back(target);
  };
  if (ask == Ask::kAll) {
    for (int32_t i = 0; i < length; ++i) add(i, -1);
  } else if (!sequence.is_target.empty()) {
    for (int32_t i = 1; i < length; ++i) {
      if (sequence.is_target[i] == 1) add(i - 1, sequence.input_ids[i]);
    }
  } else if (ask == Ask::kLoss) {
    add(0, -1);
  }
  if (ask == Ask::kNext && sequence.asks_next) add(length - 1, -1);
  batch.asked_starts.push_back(static_cast<int32_t>(batch.asked_rows.size()));
}

}  // namespace

int64_t loss_terms(const Sequence& sequence) {
  if (sequence.is_target.empty()) return 1;
  return std::count(sequence.is_target.begin() + 1, sequence.is_target.end(), 1);  // nothing predicts the first token
}

PackedBatch pack(std::span<const Sequence> sequences, Ask ask) {
  PackedBatch batch;
  batch.starts.push_back(0);
  batch.asked_starts.push_back(0);
  for (const Sequence& sequence : sequences) {
    const auto length = static_cast<int64_t>(sequence.input_ids.size());
    if (length == 0) throw std::invalid_argument("pack: a sequence without tokens");
    batch.input_ids.insert(batch.input_ids.end(), sequence.input_ids.begin(), sequence.input_ids.end());
    if (sequence.token_type_ids.empty()) {
      batch.token_type_ids.insert(batch.token_type_ids.end(), length, 0);
    } else {
      batch.token_type_ids.insert(batch.token_type_ids.end(), sequence.token_type_ids.begin(),
                                  sequence.token_type_ids.end());
    }
    for (int64_t i = 0; i < length; ++i) batch.positions.push_back(static_cast<int32_t>(sequence.first_position + i));
    for (int64_t i = length - sequence.answer_tokens; i < length; ++i) {
      batch.answer_rows.push_back(static_cast<int32_t>(batch.starts.back() + i));
    }
    ask_for(batch, sequence, batch.starts.back(), ask);
    batch.starts.push_back(static_cast<int32_t>(batch.input_ids.size()));
    batch.blocks_per_sequence = std::max(batch.blocks_per_sequence, static_cast<int64_t>(sequence.blocks.size()));
    batch.slots.push_back(sequence.slot);
    batch.dropout_keys.push_back(
        mix_seed(mix_seed(sequence.seed, static_cast<uint64_t>(sequence.step)), sequence.example));
    batch.targets.push_back(sequence.target);
    batch.loss_weights.push_back(sequence.loss_weight);
    batch.max_length = std::max(batch.max_length, length);
  }
  batch.block_tables.assign(sequences.size() * batch.blocks_per_sequence, 0);
  for (size_t s = 0; s < sequences.size(); ++s) {
    std::copy(sequences[s].blocks.begin(), sequences[s].blocks.end(),
              batch.block_tables.begin() + static_cast<int64_t>(s) * batch.blocks_per_sequence);
  }
  return batch;
}

namespace {

/// Runs of equal slots; sequence s covers rows [start_of(s), start_of(s + 1)); runs without rows are left out.
template <typename StartOf>
std::vector<SlotSegment> runs(const std::vector<int64_t>& slots, StartOf start_of) {
  std::vector<SlotSegment> segments;
  for (size_t s = 0; s < slots.size(); ++s) {
    if (start_of(s) == start_of(s + 1)) continue;
    if (segments.empty() || segments.back().slot != slots[s]) {
      segments.push_back({start_of(s), start_of(s + 1), slots[s]});
    } else {
      segments.back().end = start_of(s + 1);
    }
  }
  return segments;
}

}  // namespace

std::vector<SlotSegment> token_segments(const PackedBatch& batch) {
  return runs(batch.slots, [&](size_t s) { return static_cast<int64_t>(batch.starts[s]); });
}

std::vector<SlotSegment> asked_segments(const PackedBatch& batch) {
  return runs(batch.slots, [&](size_t s) { return static_cast<int64_t>(batch.asked_starts[s]); });
}

std::vector<SlotSegment> sequence_segments(const PackedBatch& batch) {
  return runs(batch.slots, [](size_t s) { return static_cast<int64_t>(s); });
}

}  // namespace loraxs
