// ops/softmax_row.h: softmax of one row of scores, inside kernels (ops/simd.h).
#pragma once
#include <cstdint>

#include "ops/simd.h"

namespace loraxs::simd {

/// row[begin, end) <- softmax, the rest of [0, columns) <- 0. One order of additions, whatever is beside the row.
LORAXS_INLINE void softmax_row(float* row, int64_t begin, int64_t end, int64_t columns) {
  float largest = row[begin];
#pragma omp simd reduction(max : largest)
  for (int64_t j = begin; j < end; ++j) largest = row[j] > largest ? row[j] : largest;
#pragma omp simd
  for (int64_t j = begin; j < end; ++j) row[j] = exponential(row[j] - largest);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = begin; j < end; ++j) sum += row[j];
  const float inverse = 1.0F / sum;
#pragma omp simd
  for (int64_t j = begin; j < end; ++j) row[j] *= inverse;
  for (int64_t j = 0; j < begin; ++j) row[j] = 0;
  for (int64_t j = end; j < columns; ++j) row[j] = 0;
}

}  // namespace loraxs::simd
