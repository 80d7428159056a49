#include "adapt/adapter_set.h"

#include <algorithm>

#include "io/seeds.h"

namespace loraxs {

Bank make_bank(const Layout& layout, double alpha, int64_t adapters, torch::ScalarType dtype) {
  Bank bank{.layout = layout, .alpha = alpha};
  bank.values = torch::zeros({adapters, layout.row_size}, torch::TensorOptions().dtype(dtype));
  return bank;
}

AdapterSet AdapterSet::of_bank(std::shared_ptr<Bank> bank) {
  AdapterSet set;
  for (int64_t row = 0; row < bank->num_adapters(); ++row) set.slots.push_back({.bank = 0, .row = row});
  set.banks.push_back(std::move(bank));
  return set;
}

int64_t AdapterSet::basis_rank(const std::string& site) const {
  int64_t rank = 0;
  for (const auto& bank : banks) {
    const MethodTraits& traits = find_method(bank->layout.method, "bank").traits;
    if (traits.reads_basis && !traits.residual) rank = std::max(rank, bank->layout.rank_of(site));
  }
  return rank;
}

bool AdapterSet::adapts(const std::string& site) const {
  return std::any_of(banks.begin(), banks.end(), [&](const auto& bank) { return bank->layout.adapts(site); });
}

bool AdapterSet::trains() const {
  return std::any_of(banks.begin(), banks.end(), [](const auto& bank) { return bank->gradients.defined(); });
}

void initialize_row(Bank& bank, int64_t row, const MethodStart& start, double head_std,
                    const std::optional<HeadDense>& dense) {
  const Layout& layout = bank.layout;
  std::vector<float> values(layout.row_size, 0.0F);
  find_method(layout.method, "").initialize(layout, values, start);
  const auto put = [&](const LayoutSegment& segment, const torch::Tensor& tensor) {
    const torch::Tensor flat = tensor.to(torch::kFloat32).contiguous().view(-1);
    std::copy_n(flat.const_data_ptr<float>(), segment.numel(), values.begin() + segment.offset);
  };
  for (const LayoutSegment& segment : layout.segments) {
    if (!segment.head) continue;
    const bool is_weight = segment.name.ends_with(".weight");
    if (dense && segment.name.starts_with("head.dense.")) {
      put(segment, is_weight ? dense->weight : dense->bias);
    } else if (is_weight) {
      fill_normal(std::span(values).subspan(segment.offset, segment.numel()),
                  derive_seed(start.job_seed, "init " + segment.name), head_std);
    }
  }
  bank.values.select(0, row).copy_(torch::from_blob(values.data(), {layout.row_size}, torch::kFloat32));
}

Bank head_of(const Bank& bank, int64_t row) {
  const Layout& whole = bank.layout;
  const Layout layout = make_layout(whole.method, {}, std::vector<int64_t>{}, whole.head, whole.hidden_size, "head");
  Bank head = make_bank(layout, bank.alpha, 1, bank.values.scalar_type());
  head.values.select(0, 0).copy_(bank.values.select(0, row).narrow(0, whole.adapter_numbers, layout.row_size));
  return head;
}

}  // namespace loraxs
