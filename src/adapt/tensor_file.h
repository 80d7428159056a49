// adapt/tensor_file.h: a safetensors file in the making: named tensors, kept until they are written.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>

#include "io/safetensors.h"

namespace loraxs {

class TensorFile {
 public:
  /// Floating tensors in their dtype; the bytes are those of `tensor` when write() is called.
  void add(const std::string& name, const torch::Tensor& tensor);
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  void write(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata) const;

 private:
  std::map<std::string, torch::Tensor> kept_;  // keeps contiguous copies alive
  std::map<std::string, TensorBytes> tensors_;
};

}  // namespace loraxs
