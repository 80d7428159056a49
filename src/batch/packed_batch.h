// batch/packed_batch.h: the one structure that training, evaluation and (later) generation feed to a model.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace loraxs {

constexpr int64_t kNoSlot = -1;  // a sequence that uses no adapter

/// One sequence before packing.
struct Sequence {
  std::vector<int32_t> input_ids;
  std::vector<int32_t> token_type_ids;  // empty, or as long as input_ids
  std::vector<uint8_t> is_target;       // empty, or as long as input_ids: 1 where predicting this token counts
  int64_t slot = kNoSlot;               // index into the AdapterSet's slots
  uint64_t example = 0;                 // key of the example: dropout counts by it
  uint64_t seed = 0;                    // seed of the job the sequence belongs to
  int64_t step = 0;                     // the job's own step
  double target = 0;                    // label index or regression score
  int64_t first_position = 0;           // position of input_ids[0]: those before it are in the cache
  std::vector<int32_t> blocks;          // block table of the key/value cache, as far as the last token; empty: no cache
  bool asks_next = false;               // generation: the token after the last one is asked for
  int64_t answer_tokens = 0;            // generation: so many of input_ids, the last ones, are of the answer
  double loss_weight = 1;               // of each of its loss terms: 1 / terms in the whole step of its job
};

/// Sequences end to end, no padding. All arrays are int32 because kernels and CUDA's varlen attention want that.
struct PackedBatch {
  std::vector<int32_t> input_ids;       // [tokens]
  std::vector<int32_t> positions;       // [tokens], from first_position in each sequence
  std::vector<int32_t> token_type_ids;  // [tokens]
  std::vector<int32_t> starts;          // [sequences + 1], where each sequence starts; starts.back() = tokens
  std::vector<int64_t> slots;           // [sequences]
  std::vector<uint64_t> dropout_keys;   // [sequences], mixed from job seed, job step and example
  std::vector<double> targets;          // [sequences]
  std::vector<int32_t> block_tables;    // [sequences, blocks_per_sequence], shorter tables filled up with 0
  int64_t blocks_per_sequence = 0;      // longest table; 0: no cache
  std::vector<double> loss_weights;     // [sequences]
  int64_t max_length = 0;               // longest sequence
  std::vector<int32_t> asked_rows;      // [asked] rows whose hidden states are wanted, ascending
  std::vector<int32_t> asked_starts;    // [sequences + 1], where each sequence's asked rows start
  std::vector<int32_t> target_ids;      // [asked] the token after an asked row, where a sequence has is_target; else -1
  std::vector<int32_t> answer_rows;     // rows of tokens that are of an answer, ascending

  int64_t num_tokens() const { return static_cast<int64_t>(input_ids.size()); }
  int64_t num_sequences() const { return static_cast<int64_t>(slots.size()); }
  int64_t num_asked() const { return static_cast<int64_t>(asked_rows.size()); }
};

/// Which rows are asked for: what the loss reads (those before target tokens, or the first token where a sequence has
/// no is_target), for the next tokens (those before target tokens, and the last one with asks_next), or every token.
enum class Ask { kLoss, kNext, kAll };

/// Terms of a sequence's loss: its targets, or one where it has no is_target.
int64_t loss_terms(const Sequence& sequence);

/// Consecutive rows that use one slot: rows are tokens, asked rows, or sequences.
struct SlotSegment {
  int64_t begin = 0;  // first row
  int64_t end = 0;    // one past the last
  int64_t slot = kNoSlot;
};

/// Packs in the given order; sequences of one slot should stand together. An empty sequence is a caller's bug (throws
/// std::invalid_argument).
PackedBatch pack(std::span<const Sequence> sequences, Ask ask = Ask::kLoss);

/// Maximal runs of equal slots over tokens, over asked rows and over sequences.
std::vector<SlotSegment> token_segments(const PackedBatch& batch);
std::vector<SlotSegment> asked_segments(const PackedBatch& batch);
std::vector<SlotSegment> sequence_segments(const PackedBatch& batch);

}  // namespace loraxs
