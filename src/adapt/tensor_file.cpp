#include "adapt/tensor_file.h"

namespace loraxs {
namespace {

Dtype dtype_of(const torch::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case torch::kFloat64:
      return Dtype::kFloat64;
    case torch::kFloat16:
      return Dtype::kFloat16;
    case torch::kBFloat16:
      return Dtype::kBFloat16;
    default:
      TORCH_CHECK(tensor.scalar_type() == torch::kFloat32, "TensorFile: expected floats, found ", tensor.scalar_type());
      return Dtype::kFloat32;
  }
}

}  // namespace

void TensorFile::add(const std::string& name, const torch::Tensor& tensor) {
  const torch::Tensor& stored = kept_[name] = tensor.contiguous();
  tensors_[name] = {.dtype = dtype_of(stored),
                    .shape = stored.sizes().vec(),
                    .bytes = std::span(static_cast<const std::byte*>(stored.const_data_ptr()), stored.nbytes())};
}

void TensorFile::write(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata) const {
  write_safetensors(path, tensors_, metadata);
}

}  // namespace loraxs
