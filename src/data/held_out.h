// data/held_out.h: the validation data of a task section: a file of their own, or a part of the training data.
#pragma once
#include <string>

#include "data/task.h"

namespace loraxs {

struct ValidationSource {
  std::string file;  // empty: none is named
  double part = 0;   // of the training examples, held out
};

/// The key `validation`: a file, or a number from 0 to below 1 where `has_train`. Throws Error for anything else.
ValidationSource read_validation(Fields& fields, bool has_train);

/// Moves a part of the training examples to validation: the same ones in every run, both parts in file order, at least
/// one. Nothing where there are none to move. Throws Error naming `validation` when none is left to train on.
void hold_out(Task& task, double part, const Fields& fields);

}  // namespace loraxs
