// model/backbone.h: what encoders and decoders have in common: a packed batch in, hidden states of the asked rows out.
#pragma once
#include <torch/types.h>

#include <memory>
#include <vector>

#include "model/base_model.h"
#include "model/batch_tensors.h"
#include "model/key_value_cache.h"
#include "model/projection_hook.h"

namespace loraxs {

class Backbone {
 public:
  virtual ~Backbone() = default;

  /// In the order of the forward; a hook is asked for them by index. The last layer's query stands alone, since only
  /// the asked rows ask there.
  virtual const std::vector<ProjectionGroup>& groups() const = 0;

  /// Hidden states of the asked rows after the last layer -> [asked, hidden]. What cannot reach them is not computed:
  /// the last layer's query, attention output and MLP run on those rows only. With a `cache`, attention reads keys and
  /// values from there; encoders have none.
  virtual torch::Tensor forward(const BatchTensors& batch, const std::shared_ptr<const ProjectionHook>& hook,
                                bool training, KeyValueCache* cache) const = 0;

  /// Layers whose activations exceed `bytes` in a training forward are computed again in backward instead of kept: the
  /// same bits, a third more time for each. Negative: keep everything.
  virtual void limit_activations(int64_t bytes) = 0;
};

/// The backbone of the model's family. Norms, embeddings and softmax stay float32 (float64 for float64); activations
/// take `compute_dtype`.
std::unique_ptr<Backbone> make_backbone(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device);

}  // namespace loraxs
