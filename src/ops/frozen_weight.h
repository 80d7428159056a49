// ops/frozen_weight.h: a frozen matrix in the form it is multiplied in, whichever that is.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ops/block_tensor.h"

namespace loraxs {

class Int8Weight;
struct Alongside;

/// What the base's weights cost in memory.
enum class WeightMemory {
  kNormal,  // unpacked to the compute dtype and packed for the GEMM, once for each direction in use
  kTight,   // as their file stores them, mapped; unpacked panel by panel whenever they are multiplied
  kInt8     // as small integers (ops/int8_weight.h), forward alone: what `precision: int8` computes with
};

/// "normal" or "tight". Throws Error for another name.
WeightMemory weight_memory(const std::string& name);

/// Which rows of an input are tokens of an answer under way; the others are of prompts or whole texts. Their indices,
/// ascending, [·] int64; undefined where there are none. Weights meet the two kinds by two ways, each with one order of
/// additions for any number of rows: a row's bits follow from its kind, never from its company.
struct AnswerRows {
  torch::Tensor answers, others;
};

/// W [out_features, in_features].
class FrozenWeight {
 public:
  FrozenWeight() = default;
  /// Dense, packed for frozen_gemm; a second copy for backward products if `both_ways`.
  static FrozenWeight packed(const torch::Tensor& weight, bool both_ways);
  /// The rows of `parts` one under the other, then those of `tail` [rows, in_features], which may be undefined.
  /// Products are in `dtype`: parts stay as they are stored, and a panel of rows at a time is unpacked into scratch.
  static FrozenWeight stored(std::vector<BlockTensor> parts, const torch::Tensor& tail, torch::ScalarType dtype);
  /// The same rows as small integers, those of `tail` of eight bits, for float32 products forward on the CPU.
  static FrozenWeight integers(const std::vector<BlockTensor>& parts, const torch::Tensor& tail);

  /// Packed weights: rows of answers meet these from now on, the same numbers as stored. See forward().
  void add_answers(std::vector<BlockTensor> parts, const torch::Tensor& tail);
  /// Packs a dense weight, the one this was made from, for backward products too.
  void add_backward(const torch::Tensor& weight);

  int64_t out_features() const { return out_features_; }
  bool has_backward() const { return transposed_.defined() || is_stored(); }

  /// x [rows, in_features] · Wᵀ + bias [out_features] (may be undefined) -> [rows, out_features]. Packed weights go
  /// through frozen_gemm. So do stored ones, panel by panel, with the bits of packed ones. Rows of answers, of which
  /// there are few at a time, meet stored weights, and packed ones with add_answers(), by block_product_, which reads
  /// what is stored once and needs no panel; its sums, in an order of their own, differ in the last digits. float64 and
  /// other devices than the CPU have the first way alone. Small integers have one way for all rows.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& bias, const AnswerRows& rows = {}) const;
  bool is_integers() const { return integers_ != nullptr; }
  /// The same of small integers into y, with work that goes along: its `rows` find the columns of the tail in y, its
  /// `columns` W's own with their bias.
  void integer_product_(const torch::Tensor& y, const torch::Tensor& x, const torch::Tensor& bias,
                        const Alongside& alongside) const;
  /// dy [rows, out_features] · W -> [rows, in_features].
  torch::Tensor backward(const torch::Tensor& dy) const;

 private:
  /// Calls `use`(first column, panel [rows, in_features] on `device`) for all of W.
  template <typename Use>
  void for_panels(torch::Device device, const Use& use) const;
  bool is_stored() const { return !weight_.defined() && !parts_.empty(); }
  torch::Tensor panel_product(const torch::Tensor& x) const;
  torch::Tensor gemm_product(const torch::Tensor& x, const torch::Tensor& bias) const;
  torch::Tensor block_product(const torch::Tensor& x, const torch::Tensor& bias) const;

  int64_t out_features_ = 0, in_features_ = 0;
  torch::Tensor weight_, transposed_;  // packed
  std::vector<BlockTensor> parts_;     // stored; beside packed ones for rows of answers
  torch::Tensor tail_;
  std::shared_ptr<const Int8Weight> integers_;
  torch::ScalarType dtype_ = torch::kFloat32;
};

}  // namespace loraxs
