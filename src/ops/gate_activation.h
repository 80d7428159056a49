// ops/gate_activation.h: what the gate of a gated MLP passes through.
#pragma once

namespace loraxs {

enum class GateActivation { kSilu, kGeluTanh };  // SwiGLU; GeGLU with the tanh form of GELU

}  // namespace loraxs
