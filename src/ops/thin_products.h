// ops/thin_products.h: a few float64 vectors against many rows: what a Krylov method does all day. Library GEMMs are
// several times slower at four columns, and on some CPUs have no vector code for float64 there. On the CPU alone: a
// basis is solved there, whatever device a model is on.
#pragma once
#include <torch/types.h>

namespace loraxs {

/// x [k, n] · aᵀ for a [m, n] -> [k, m]. float64, contiguous, one thread.
torch::Tensor times_rows(const torch::Tensor& x, const torch::Tensor& a);

/// y [k, n] += alpha · c [k, m] · a [m, n]. float64, contiguous, one thread.
void add_combined_rows_(const torch::Tensor& y, double alpha, const torch::Tensor& c, const torch::Tensor& a);

}  // namespace loraxs
