#include "adapt/adapter_set.h"

#include <algorithm>
#include <cstring>

#include "io/seeds.h"

namespace loraxs {

Bank make_bank(std::shared_ptr<const Layout> layout, double alpha, int64_t adapters, torch::ScalarType dtype) {
  Bank bank{.layout = std::move(layout), .entries = std::vector<BankEntry>(adapters, {.alpha = alpha})};
  bank.values = torch::zeros({adapters, bank.layout->row_size}, torch::TensorOptions().dtype(dtype));
  return bank;
}

Bank make_bank(const Layout& layout, double alpha, int64_t adapters, torch::ScalarType dtype) {
  return make_bank(std::make_shared<const Layout>(layout), alpha, adapters, dtype);
}

const std::vector<std::string>& Bank::labels(int64_t index) const {
  static const std::vector<std::string> none;
  const auto& classes = entries.at(index).classes;
  return classes ? *classes : none;
}

void Bank::set_labels(int64_t index, const std::vector<std::string>& names) {
  entries.at(index).classes = names.empty() ? nullptr : std::make_shared<const std::vector<std::string>>(names);
}

AdapterRow Bank::row(int64_t index, bool with_gradients) const {
  AdapterRow row{.values = values.select(0, index), .alpha = alpha(index)};
  if (with_gradients && gradients.defined()) row.gradients = gradients.select(0, index);
  return row;
}

int64_t Bank::add(const torch::Tensor& row, const BankEntry& entry) {
  TORCH_CHECK(!gradients.defined(), "Bank::add: the bank trains");
  const int64_t count = num_adapters(), numbers = layout->row_size;
  const auto room =
      static_cast<int64_t>(values.storage().nbytes() / values.element_size()) / std::max<int64_t>(1, numbers);
  if (count + 1 > room || values.storage_offset() != 0 || !values.is_contiguous()) {
    torch::Tensor wider = torch::empty({std::max<int64_t>(4, 2 * count), numbers}, values.options());
    wider.narrow(0, 0, count).copy_(values);
    values = std::move(wider);
  }
  values = values.as_strided({count + 1, numbers}, {numbers, 1}, 0);
  entries.emplace_back();
  replace(count, row, entry);
  return count;
}

void Bank::replace(int64_t index, const torch::Tensor& row, const BankEntry& entry) {
  TORCH_CHECK(row.numel() == layout->row_size, "Bank::replace: a row of ", row.numel(), " numbers, expected ",
              layout->row_size);
  entries.at(index) = entry;
  const auto lies_plain = [](const torch::Tensor& tensor) { return tensor.is_cpu() && tensor.is_contiguous(); };
  // A copy_ needs 2 us before it begins.
  if (row.scalar_type() == values.scalar_type() && lies_plain(row) && lies_plain(values)) {
    const size_t bytes = row.nbytes();
    std::memcpy(static_cast<char*>(values.mutable_data_ptr()) + static_cast<size_t>(index) * bytes,
                row.const_data_ptr(), bytes);
    return;
  }
  values.select(0, index).copy_(row);
}

AdapterSet AdapterSet::of_bank(std::shared_ptr<Bank> bank) {
  AdapterSet set;
  for (int64_t row = 0; row < bank->num_adapters(); ++row) set.slots.push_back({.bank = 0, .row = row});
  set.banks.push_back(std::move(bank));
  return set;
}

bool AdapterSet::trains() const {
  return std::any_of(banks.begin(), banks.end(), [](const auto& bank) { return bank->gradients.defined(); });
}

void initialize_row(Bank& bank, int64_t row, const MethodStart& start, double head_std,
                    const std::optional<HeadDense>& dense) {
  const Layout& layout = *bank.layout;
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
  const Layout& whole = *bank.layout;
  const Layout layout = make_layout(whole.method, {}, std::vector<int64_t>{}, whole.head, whole.hidden_size, "head");
  Bank head = make_bank(layout, bank.alpha(row), 1, bank.values.scalar_type());
  head.entries = {bank.entries.at(row)};
  head.values.select(0, 0).copy_(bank.values.select(0, row).narrow(0, whole.adapter_numbers, layout.row_size));
  return head;
}

}  // namespace loraxs
