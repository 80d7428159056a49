// model/recompute.h: a part of the forward that is run again in backward instead of keeping its activations.
#pragma once
#include <torch/types.h>

#include <functional>

namespace loraxs {

/// y = part(x), keeping x alone. Backward runs `part` again under autograd and sends dy through it: the same bits as
/// without, since the kernels do not depend on when they run. `part` must stay valid until backward; what it trains it
/// writes straight into its gradient bank.
torch::Tensor recomputed(const std::function<torch::Tensor(const torch::Tensor&)>& part, const torch::Tensor& x);

}  // namespace loraxs
