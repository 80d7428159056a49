// ops/frozen_gemm.h: the one place that chooses how a frozen weight is multiplied.
#pragma once
#include <torch/types.h>

#include <string>
#include <vector>

namespace loraxs {

enum class GemmBackend { kAten, kOneDnn };  // at::linear (MKL for float32 on x86) / mkldnn::_linear_pointwise
const char* gemm_backend_name(GemmBackend backend);

/// The backend for float32 and bfloat16 GEMMs on this machine, by CPU feature and dtype: a fixed table, never timed at
/// run time, so the same machine gives the same bits. Recorded in checkpoints and adapters.
GemmBackend gemm_backend(torch::ScalarType dtype);
/// "float32=onednn bfloat16=aten threads=2 isa=avx2": what a checkpoint records and --resume compares.
std::string gemm_record();

/// The weight in the layout that frozen_gemm's backend multiplies fastest; opaque to everybody else. Made once, bits of
/// products as with the plain weight.
torch::Tensor prepare_frozen(const torch::Tensor& weight);

/// x [rows, in] · weight [out, in]ᵀ + bias [out] (may be undefined) -> [rows, out]; weight plain or prepared. No
/// autograd: callers are autograd functions of our own. Rows of the result do not depend on how many rows there are
/// (fewer than 8, where libraries take other kernels, are padded) where row_invariant() holds.
torch::Tensor frozen_gemm(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias);
torch::Tensor frozen_gemm(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                          GemmBackend backend);

/// Asks the machine: are rows of frozen_gemm bit-equal for every padded row count up to 80, for 365 and for 1500 rows?
/// (design: results do not depend on neighbours.)
bool row_invariant(torch::ScalarType dtype);

}  // namespace loraxs
