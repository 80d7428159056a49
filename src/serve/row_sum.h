// serve/row_sum.h: a row that is a sum of stored ones, each times a factor.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adapt/resident_bank.h"

namespace loraxs {

struct SummedRow {
  std::shared_ptr<const Layout> layout;
  double alpha = 0;
  std::vector<std::string> labels;
  RowLoader load;
  double weight = 1;
};

/// As combine() has it -> one row, its numbers brought in for it. Throws Error where the parts cannot be added.
Bank sum_of_rows(std::span<const SummedRow> parts);
/// The same of zeros: the sum's layout, alpha and labels.
Bank form_of_sum(std::span<const SummedRow> parts);

}  // namespace loraxs
