// ops/device.h: devices by name.
#pragma once
#include <torch/types.h>

#include <string>
#include <vector>

namespace loraxs {

/// "cpu", then every other device that this LibTorch and this machine offer: "cuda:0", "cuda:1", …
std::vector<std::string> device_names();

/// One of these; "cuda" is "cuda:0", and "auto" the CPU. Throws Error with those that exist for another name; `field`
/// says where that stood.
torch::Device find_device(const std::string& name, const std::string& field);

}  // namespace loraxs
