#include "serve/row_sum.h"

#include "adapt/combine.h"

namespace loraxs {
namespace {

/// `fill`(bank of one row, part) gives the row what it has.
template <typename Fill>
Bank add(std::span<const SummedRow> parts, const Fill& fill) {
  std::vector<Bank> banks;
  banks.reserve(parts.size());
  std::vector<CombineInput> inputs;
  for (const SummedRow& part : parts) {
    banks.push_back(make_bank(part.layout, part.alpha, 1));
    fill(banks.back(), part);
    inputs.push_back({.bank = &banks.back(), .row = 0, .weight = part.weight});
  }
  return combine(inputs, {});
}

}  // namespace

Bank sum_of_rows(std::span<const SummedRow> parts) {
  return add(parts, [](Bank& bank, const SummedRow& part) {
    bank.entries.front() = part.load({bank.values.mutable_data_ptr<float>(), static_cast<size_t>(bank.values.numel())});
  });
}

Bank form_of_sum(std::span<const SummedRow> parts) {
  return add(parts, [](Bank& bank, const SummedRow& part) {
    bank.entries.front() = {.alpha = part.alpha};
    bank.set_labels(0, part.labels);
  });
}

}  // namespace loraxs
