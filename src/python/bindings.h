// python/bindings.h: what the parts of the Python module share.
#pragma once
#include <nanobind/nanobind.h>
#include <torch/types.h>

#include <filesystem>
#include <string>

#include "api/settings.h"

namespace loraxs {

/// A torch.Tensor over the same memory; it keeps `tensor` alive. Float32 and float64 on the CPU.
nanobind::object python_tensor(const torch::Tensor& tensor);

/// Settings of a call: `cache` empty = the default; warnings become Python warnings, `log` (None or a callable taking a
/// line) hears of progress.
Settings python_settings(const std::filesystem::path& cache, const nanobind::object& log);

void bind_adapters(nanobind::module_& module);
void bind_training(nanobind::module_& module);
void bind_fleet(nanobind::module_& module);
void bind_generation(nanobind::module_& module);

}  // namespace loraxs
