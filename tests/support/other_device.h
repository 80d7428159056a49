// tests/support/other_device.h: a device that is not the CPU, for machines that have no other: PyTorch's PrivateUse1.
#pragma once
#include <torch/types.h>

#include <cstdint>

namespace loraxs::test {

/// "other". Its memory is the host's, behind addresses that nobody on the host can read: a kernel that takes a pointer
/// for one of the CPU's ends the process. An operator copies its arguments to the CPU, runs there and copies back; one
/// that is given tensors of two devices (beside a scalar, as on CUDA) is refused. Linking other_device.cpp registers
/// it.
torch::Device other_device();

/// What crossed between host and device since reset_crossings(), apart from what operators did themselves.
struct Crossings {
  int64_t uploads = 0;
  int64_t downloads = 0;  // with those of one number, for .item()
  int64_t operators = 0;  // that ran on the device

  /// That nothing crossed: everything was computed there.
  bool stayed() const { return operators > 0 && uploads == 0 && downloads == 0; }
};
Crossings crossings();
void reset_crossings();

}  // namespace loraxs::test
