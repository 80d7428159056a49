// ops/isa.h: which of the instruction sets that our kernels are compiled for runs.
#pragma once

namespace loraxs {

enum class Isa { kPlain, kAvx2, kAvx512 };  // x86-64 as it began, -v3, -v4; other processors have the first alone

/// The best this CPU has, or less where LORAXS_ISA names less: "plain", "avx2", "avx512". The variable is to our
/// kernels what ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA are to the libraries': one machine can walk the paths of
/// lesser ones. Read at the first call, so that it never changes under a computation. Throws Error for another word.
Isa isa();
/// Whether isa() is less than the CPU has.
bool isa_is_limited();
const char* isa_name(Isa isa);  // "plain", "avx2", "avx512"

}  // namespace loraxs
