#include "ops/device.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <algorithm>

#include "io/error.h"

namespace loraxs {

std::vector<std::string> device_names() {
  std::vector<std::string> names = {"cpu"};
  for (int number = 0; number < c10::COMPILE_TIME_MAX_DEVICE_TYPES; ++number) {
    const auto type = static_cast<c10::DeviceType>(number);
    if (type == c10::DeviceType::CPU || type == c10::DeviceType::Meta || !c10::impl::hasDeviceGuardImpl(type)) continue;
    const c10::DeviceIndex count = c10::impl::getDeviceGuardImpl(type)->deviceCount();
    for (c10::DeviceIndex index = 0; index < count; ++index) names.push_back(torch::Device(type, index).str());
  }
  return names;
}

torch::Device find_device(const std::string& name, const std::string& field) {
  const std::vector<std::string> names = device_names();
  if (name == "auto" || name == "cpu") return torch::kCPU;
  for (const std::string& full : {name, name + ":0"}) {
    if (full != "cpu:0" && std::find(names.begin(), names.end(), full) != names.end()) return torch::Device(full);
  }
  std::string listed = "auto";
  for (const std::string& each : names) listed += ", " + each;
  throw Error(concat(field, ": expected one of ", listed, ", found ", name,
                     names.size() > 1 ? "" : "; a GPU needs its driver and a LibTorch built for it"));
}

}  // namespace loraxs
