// adapt/combine.h: adapters on one basis are a vector space: sums of ΔW are arithmetic on rows. Those of LoRA are
// longer rows.
#pragma once
#include <string>
#include <vector>

#include "adapt/adapter_set.h"

namespace loraxs {

/// One term of "0.7*a + 0.3*b - c": an adapter, or the mean of a folder of them.
struct CombineTerm {
  double weight = 1;
  std::string name;  // a file, or the folder of mean(FOLDER)
  bool is_mean = false;
  std::string mean_weights;  // file of mean(FOLDER, FILE); empty = all alike
};

/// Terms joined by + and -, each NAME or NUMBER*NAME or NUMBER * NAME; names are file paths without blanks, or quoted.
/// mean(FOLDER) and mean(FOLDER, FILE) stand where a name may.
/// Throws Error with the position of what it cannot read.
std::vector<CombineTerm> parse_combination(const std::string& expression);

/// What happens to task heads, which are no linear function of ΔW.
struct HeadRule {
  std::string kind = "auto";  // auto | none | take
  size_t take = 0;            // index of the term whose head is taken
  torch::Tensor start;        // [numbers of the head] h₀ that all heads started from; undefined where it is not known
};

/// An adapter to be combined: a row of a bank.
struct CombineInput {
  const Bank* bank = nullptr;
  int64_t row = 0;
  double weight = 1;
};

/// Σ weight · ΔW with one adapter in memory at a time.
class WeightedSum {
 public:
  /// `layout`: the sum's, with every site of what is added at its rank or more (of LoRA: at the sum of the ranks).
  WeightedSum(Layout layout, double alpha);

  /// `row`: [row_size of `source`], or its first numbers where the sum needs no more. The head's numbers are weighed on
  /// their own.
  void add(const torch::Tensor& row, const Layout& source, double alpha, double weight, double head_weight);
  /// [row_size] float64, no copy.
  [[nodiscard]] const torch::Tensor& row() const { return row_; }

 private:
  void add_site(size_t site, const torch::Tensor& values, const Layout& source, double factor);

  Layout layout_;
  double alpha_;
  torch::Tensor row_;
  std::vector<int64_t> done_;  // rank of each site that is filled: LoRA's stand one behind the other
};

/// A bank of one whose ΔW is Σ weight · ΔW of the inputs: per site R = Σ wᵢ (sᵢ / s) Rᵢ, smaller ranks zero-padded,
/// missing sites zero; rank = the largest, alpha = the first input's, sites = their union. float64 sums. Of LoRA, where
/// ΔW = s b a, exact too: a = [a₁; a₂; …], b = [w₁ s₁/s b₁ | w₂ s₂/s b₂ | …], rank = the sum. Heads: with
/// "auto", all inputs must have the same head layout, and h = h₀ + Σ wᵢ (hᵢ − h₀); without h₀ that needs Σ weight = 1,
/// else Error says which rule to give.
Bank combine(const std::vector<CombineInput>& inputs, const HeadRule& head);

}  // namespace loraxs
