// train/task_gradient.h: the gradient of a task's loss with respect to whole weights: what Observation 3.1 is about.
#pragma once
#include <torch/types.h>

#include <map>
#include <string>

#include "adapt/adapter_set.h"
#include "data/example_view.h"
#include "model/base_model.h"

namespace loraxs {

struct TaskGradient {
  std::map<std::string, torch::Tensor> weights;  // by site: [out_features, in_features] float32
  double loss = 0;                               // mean over the examples' terms
};

/// ∂loss/∂W of every projection at the model's weights, of the mean loss over all examples; dropout is off and the
/// weights stay. `head` is a bank of one whose row holds the task head (its sites are not looked at); decoders need
/// none. float32; memory of the weights twice and the activations of one batch.
TaskGradient task_gradient(const BaseModel& model, const Bank& head, const ExampleView& examples);

}  // namespace loraxs
