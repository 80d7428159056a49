// eval/score.h: predictions of adapters on examples, and their score.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "adapt/adapted_model.h"
#include "data/example_view.h"

namespace loraxs {

/// Logits of every example for each of `slots` -> [slots][examples, outputs] float32 on the CPU. Packed by
/// `tokens_per_batch` tokens, longest first; `proceed` is asked before each batch and may throw.
std::vector<torch::Tensor> predict_logits(AdaptedModel& model, const ExampleView& examples,
                                          const std::vector<int64_t>& slots, int64_t tokens_per_batch,
                                          const std::function<void()>& proceed = {});

/// Class index per row, or the score itself for regression.
std::vector<double> predictions_of(const torch::Tensor& logits, bool regression);

/// What each language-model example's targets cost, Σ −log p, by each of `slots` -> [slots][examples], and how many
/// targets it has.
struct TargetLosses {
  std::vector<std::vector<double>> sums;
  std::vector<int64_t> targets;
};
TargetLosses target_losses(AdaptedModel& model, const ExampleView& examples, const std::vector<int64_t>& slots,
                           const std::function<void()>& proceed = {});

/// Mean cross-entropy of each slot over all targets of language-model examples. `proceed` as above.
std::vector<double> held_out_losses(AdaptedModel& model, const ExampleView& examples, const std::vector<int64_t>& slots,
                                    const std::function<void()>& proceed = {});

/// The metric of each slot; "loss" is held_out_losses.
std::vector<double> score_slots(AdaptedModel& model, const ExampleView& examples, const std::vector<int64_t>& slots,
                                const std::string& metric, bool regression, const std::function<void()>& proceed = {});

/// The examples of one slot alone.
struct SlotExamples {
  int64_t slot = 0;
  ExampleView examples;  // at least one
};

/// The metric of each slot on examples of its own, packed together: a score does not depend on who else is there. Where
/// all look at the same examples, as score_slots.
std::vector<double> score_each(AdaptedModel& model, std::span<const SlotExamples> jobs, const std::string& metric,
                               bool regression);

/// Whether each slot's losses (of a language model) or logits on its examples are finite numbers, all of them.
std::vector<bool> finite_outputs(AdaptedModel& model, std::span<const SlotExamples> jobs);

}  // namespace loraxs
