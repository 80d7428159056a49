// adapt/adapter_set.h: the adapters that one batch may use: banks of rows, and slots that point into them.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapt/method.h"
#include "ops/row_tensor.h"

namespace loraxs {

/// What an adapter has beside its row.
struct BankEntry {
  double alpha = 16;                                        // it acts with the method's scale of it: alpha / rank
  std::shared_ptr<const std::vector<std::string>> classes;  // names of its head's; null: none
};

/// Adapters of one layout, one per row. One adapter is a bank of one. Threads may read it together, while none trains
/// it, or adds or writes rows.
struct Bank {
  std::shared_ptr<const Layout> layout;
  std::vector<BankEntry> entries;  // [adapters]
  torch::Tensor values;            // [adapters, row] float32 (float64 in tests)
  torch::Tensor gradients;         // like values; undefined when nothing is trained
  bool trains_sites = true;        // false: R stays where it is and only heads learn
  double dropout = 0;              // in training, of what an adapter reads; the same in all banks that train together

  int64_t num_adapters() const { return values.size(0); }
  double alpha(int64_t index) const { return entries.at(index).alpha; }
  /// Names of the classes of an adapter's head; empty for a regression and without a head.
  const std::vector<std::string>& labels(int64_t index) const;
  void set_labels(int64_t index, const std::vector<std::string>& names);
  /// Views into a row; `gradients` as asked for, where the bank has any.
  AdapterRow row(int64_t index, bool gradients = false) const;
  /// Takes in another adapter, `row` [row]: the cost of its numbers, and now and then of all (room doubles). A bank
  /// that trains has the rows it began with: TORCH_CHECKs. -> its index
  int64_t add(const torch::Tensor& row, const BankEntry& entry);
  /// Another adapter in a row's place, at the cost of its numbers.
  void replace(int64_t index, const torch::Tensor& row, const BankEntry& entry);
};

/// Rows of zeros.
Bank make_bank(std::shared_ptr<const Layout> layout, double alpha, int64_t adapters,
               torch::ScalarType dtype = torch::kFloat32);
Bank make_bank(const Layout& layout, double alpha, int64_t adapters, torch::ScalarType dtype = torch::kFloat32);

/// Where a slot's adapter is.
struct SlotRef {
  int64_t bank = 0;
  int64_t row = 0;
};

/// Banks may differ in rank, sites and head. Banks are shared: training writes their gradients.
struct AdapterSet {
  std::vector<std::shared_ptr<Bank>> banks;
  std::vector<SlotRef> slots;

  /// One slot per row of one bank.
  static AdapterSet of_bank(std::shared_ptr<Bank> bank);
  /// Whether any bank has gradients to write.
  bool trains() const;
};

/// Weights of a base's own dense head layer.
struct HeadDense {
  torch::Tensor weight;  // [hidden, hidden]
  torch::Tensor bias;    // [hidden]
};

/// A fresh row: the method's start for the sites, the family's for the head (normal of `head_std`, zero bias).
/// `dense` starts the head's dense layer from a checkpoint's; without one it is drawn as the output projection.
void initialize_row(Bank& bank, int64_t row, const MethodStart& start, double head_std,
                    const std::optional<HeadDense>& dense);

/// The row's head alone, in a bank of one without sites: what stays beside merged weights.
Bank head_of(const Bank& bank, int64_t row);

}  // namespace loraxs
