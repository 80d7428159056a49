// train/train_setup.h: all that a run needs, made by whoever wires it.
#pragma once
#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapt/adapted_model.h"
#include "adapt/adapter_file.h"
#include "data/example_view.h"
#include "data/task.h"
#include "train/recipe.h"
#include "train/start_row.h"
#include "train/train_observer.h"

namespace loraxs {

struct TrainSetup {
  const Recipe& recipe;
  const BaseModel& model;
  std::shared_ptr<const Basis> basis;
  ExampleView train, validation;
  Layout layout;                    // of every job's row
  std::vector<std::string> labels;  // of its head's classes
  std::string task_name, metric;
  TaskKind kind = TaskKind::kClassification;
  AdapterProvenance provenance;
  torch::ScalarType dtype = torch::kFloat32;
  torch::Device device = torch::kCPU;
  int64_t activation_limit = -1;  // bytes, see Backbone::limit_activations
  std::optional<StartRow> start;  // of every job; else fresh rows
  /// Answers the recipe's prompts with the rows of `slots`; empty: there are none. Nothing in it may depend on or
  /// change the training.
  std::function<std::vector<TrainSample>(AdaptedModel& model, const std::vector<int64_t>& slots)> answer_samples;
};

}  // namespace loraxs
