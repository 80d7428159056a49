// ops/skinny_gemm.h: the r-wide products of an adapter, where a library GEMM spends more on set-up than on work.
#pragma once
#include <torch/types.h>

namespace loraxs {

/// c [rows, n] = (accumulate ? c : 0) + alpha · a [rows, k] · b [k, n], strided views allowed (a: any strides; b, c:
/// unit column stride). a, b, c float32 or bfloat16 on the CPU, sums in float32; else ATen. Every element is one
/// chain of additions over k in order, starting at c: so rows do not depend on each other, and adding k in two calls
/// gives the same bits as in one (float32 c).
void skinny_gemm_(const torch::Tensor& c, const torch::Tensor& a, const torch::Tensor& b, double alpha,
                  bool accumulate);

}  // namespace loraxs
