// train/gradient_start.h: where LoRA-SB starts: the best approximation, at its rank, of the first step that full
// fine-tuning would take (Ponkshe et al., arXiv 2411.19557).
#pragma once
#include "adapt/basis.h"
#include "data/example_view.h"
#include "train/task_gradient.h"

namespace loraxs {

struct GradientStart {
  Basis basis;        // of variant `gradient`: a and b the leading singular vectors of −sign(G); not written yet
  torch::Tensor row;  // [adapter_numbers] float32: R with scale · b R a nearest to −sign(G), a step of size 1
};

/// AdamW's first step moves a weight by −η sign(G), G its gradient. `layout` is that of the run.
GradientStart gradient_start(const TaskGradient& gradient, const Layout& layout, double alpha,
                             const std::string& base_id);

/// The examples whose gradient is taken, evenly over all; `count` 0: a thousandth of them, at least 32.
ExampleView gradient_examples(const ExampleView& train, int64_t count);

}  // namespace loraxs
