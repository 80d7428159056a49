// train/run_examples.h: which examples train, which choose epoch and setting, and which are reported beside.
#pragma once
#include "data/example_view.h"
#include "train/recipe.h"

namespace loraxs {

struct RunExamples {
  ExampleView train;
  ExampleView choosing;  // the validation data, or with `selection: split` the held-out part of the training data
  ExampleView reported;  // with `selection: split` the validation data, else empty
};

/// The split is one for all jobs and runs: seeds and settings are compared on the same examples.
RunExamples choose_examples(const TrainRecipe& recipe, const ExampleView& train, const ExampleView& validation);

}  // namespace loraxs
