// adapt/methods/full.h: full fine-tuning of the chosen projections: weights and biases themselves.
#pragma once
#include "adapt/method.h"

namespace loraxs {

Method full();

}  // namespace loraxs
