#include "adapt/bound_batch.h"

#include <algorithm>

#include "io/error.h"

namespace loraxs {
namespace {

/// Rows [0, rows) in two lists, as `is_answer`(row) says.
template <typename IsAnswer>
AnswerRows answer_rows(int64_t rows, const IsAnswer& is_answer) {
  std::vector<int64_t> answers, others;
  for (int64_t row = 0; row < rows; ++row) (is_answer(row) ? answers : others).push_back(row);
  const auto index = [](const std::vector<int64_t>& list) {
    return list.empty() ? torch::Tensor() : torch::tensor(list, torch::kInt64);
  };
  return {.answers = index(answers), .others = index(others)};
}

}  // namespace

std::shared_ptr<const BoundBatch> BoundBatch::make(const PreparedModel& model, const SlotTable& table,
                                                   const PackedBatch& batch, bool training) {
  const std::shared_ptr<BoundBatch> bound(new BoundBatch(model, batch, training));
  bound->bind_slots(table, batch);
  bound->bind_answers(batch);
  if (model.head() != nullptr) bound->bind_heads(table, batch);
  return bound;
}

BoundBatch::BoundBatch(const PreparedModel& model, const PackedBatch& batch, bool training)
    : model_(model),
      training_(training),
      tensors_(make_batch_tensors(batch, model.options().device)),
      trained_(model.num_groups()),
      one_asked_each_(batch.num_asked() == batch.num_sequences()) {
  if (training) {
    const auto options = torch::TensorOptions().dtype(torch::kFloat32).device(model.options().device);
    anchor_ = torch::zeros({}, options).requires_grad_(true);
  }
  if (training && model.reservation().dropout > 0) {
    tokens_.keys = tensors_.token_rows;
    asked_.keys = tensors_.asked_keys;
  }
}

void BoundBatch::bind_slots(const SlotTable& table, const PackedBatch& batch) {
  const auto adapters_of = [&](const std::vector<SlotSegment>& segments) {
    auto adapters = std::make_shared<std::vector<SegmentAdapters>>();
    for (const SlotSegment& segment : segments) {
      if (segment.slot == kNoSlot && !model_.reservation().residual.empty()) {
        throw Error(
            "batch: expected an adapter for every sequence, found one without; the adapters in use take a part "
            "off the base's weights, which cannot answer beside them");
      }
      if (segment.slot == kNoSlot) continue;
      const SlotTable::BoundBank& bound = table.bank_of(segment.slot);
      const Bank& bank = *bound.bank;
      const bool trains = training_ && bank.trains_sites && bank.gradients.defined();
      adapters->push_back({.begin = segment.begin,
                           .end = segment.end,
                           .row = bank.row(table.slots[segment.slot].row, trains),
                           .table = bound.binding->table});
      for (size_t g = 0; trains && g < trained_.size(); ++g)
        trained_[g] = trained_[g] || bound.binding->adapts_group[g];
    }
    return adapters;
  };
  tokens_.segments = adapters_of(token_segments(batch));
  asked_.segments = adapters_of(asked_segments(batch));
}

void BoundBatch::bind_answers(const PackedBatch& batch) {
  if (batch.answer_rows.empty()) return;
  std::vector<bool> of_answers(batch.num_tokens());
  for (const int32_t row : batch.answer_rows) of_answers[row] = true;
  tokens_.answers = answer_rows(batch.num_tokens(), [&](int64_t row) { return of_answers[row]; });
  asked_.answers = answer_rows(batch.num_asked(), [&](int64_t row) { return of_answers[batch.asked_rows[row]]; });
}

void BoundBatch::bind_heads(const SlotTable& table, const PackedBatch& batch) {
  for (const SlotSegment& segment : asked_segments(batch)) {
    static const HeadLayout none;
    const bool has_slot = segment.slot != kNoSlot;
    const HeadLayout& head = has_slot ? table.bank_of(segment.slot).bank->layout->head : none;
    if (!runs_.empty() && runs_.back().outputs == head.outputs && runs_.back().regression == head.regression) {
      runs_.back().end = segment.end;
    } else {
      runs_.push_back({segment.begin, segment.end, head.outputs, head.regression});
    }
    if (head.outputs == 0) continue;
    const SlotTable::BoundBank& bound = table.bank_of(segment.slot);
    const AdapterRow row = bound.bank->row(table.slots[segment.slot].row, training_);
    heads_.push_back({.begin = segment.begin,
                      .end = segment.end,
                      .dense_weight = {row, bound.binding->dense_weight},
                      .dense_bias = {row, bound.binding->dense_bias},
                      .classifier_weight = {row, bound.binding->classifier_weight},
                      .classifier_bias = {row, bound.binding->classifier_bias}});
  }
}

torch::Tensor BoundBatch::project(size_t group, const torch::Tensor& x, RowKind kind) const {
  const Rows& rows = kind == RowKind::kTokens ? tokens_ : asked_;
  return adapted_linear(x, trained_[group] ? anchor_ : torch::Tensor(), model_.projection(group), rows.segments,
                        rows.answers, rows.keys);
}

torch::Tensor BoundBatch::encode(KeyValueCache* cache) const {
  return model_.backbone().forward(tensors_, shared_from_this(), training_, cache);
}

torch::Tensor BoundBatch::token_logits(KeyValueCache* cache) const {
  TORCH_CHECK(model_.language_head() != nullptr, "BoundBatch::token_logits: an encoder predicts no tokens");
  return model_.language_head()->logits(encode(cache), asked_.answers);
}

CrossEntropy BoundBatch::token_loss() const {
  TORCH_CHECK(model_.language_head() != nullptr, "BoundBatch::token_loss: an encoder predicts no tokens");
  const torch::Tensor hidden = encode();  // [asked, hidden]
  const auto dtype = hidden.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  return model_.language_head()->loss(hidden, tensors_.target_ids, tensors_.asked_weights.to(dtype));
}

HeadLogits BoundBatch::logits() const {
  TORCH_CHECK(model_.head() != nullptr, "BoundBatch::logits: no bank has a head");
  TORCH_CHECK(one_asked_each_, "BoundBatch::logits: expected one asked row a sequence");
  HeadLogits logits{.runs = runs_};
  int64_t widest = 0;
  for (const HeadRun& run : runs_) widest = std::max(widest, run.outputs);
  const torch::Tensor first = encode();  // [sequences, hidden]
  logits.values = model_.head()->forward(first, anchor_, heads_, widest, tensors_.asked_keys, training_);
  return logits;
}

}  // namespace loraxs
