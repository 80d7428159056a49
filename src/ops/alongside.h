// ops/alongside.h: work that goes along with a product x Wᵀ, in the regions where threads share it anyway.
#pragma once
#include <cstdint>
#include <functional>

namespace loraxs {

struct Alongside {
  int64_t row_work = 0;                                      // multiply-adds of `rows` for one
  std::function<void(int64_t begin, int64_t end)> rows;      // of x, each once, before any of `columns`; may be empty
  std::function<void(int64_t column, int64_t end)> columns;  // of the product: there, for all rows; may be empty
};

}  // namespace loraxs
