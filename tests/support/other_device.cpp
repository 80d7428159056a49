#include "support/other_device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>

#include <atomic>
#include <cstring>

// Learnt from PyTorch's own example of such a device, test/cpp_extensions/open_registration_extension.
namespace loraxs::test {
namespace {

std::atomic<int64_t> uploads{0}, downloads{0}, operators{0};
thread_local bool inside_operator = false;  // its own copies do not count

class InsideOperator {
 public:
  InsideOperator() : before_(inside_operator) { inside_operator = true; }
  ~InsideOperator() { inside_operator = before_; }
  InsideOperator(const InsideOperator&) = delete;
  InsideOperator& operator=(const InsideOperator&) = delete;

 private:
  bool before_;
};

// Bit 62 is set in no address of the host: reading through one faults.
constexpr uintptr_t kOther = uintptr_t{1} << 62;
void* to_other(void* host) {
  return host == nullptr ? nullptr : reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(host) + kOther);
}
void* to_host(const void* other) {
  return other == nullptr ? nullptr : reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(other) - kOther);
}

class OtherAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = to_other(c10::alloc_cpu(bytes));
    return {data, data, &free_other, other_device()};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_other; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to_host(to), to_host(from), bytes);
  }

 private:
  static void free_other(void* data) { c10::free_cpu(to_host(data)); }
};
OtherAllocator allocator;
REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &allocator)

struct OtherGuard final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1> {
  c10::Device exchangeDevice(c10::Device) const override { return other_device(); }
  c10::Device getDevice() const override { return other_device(); }
  c10::Stream getStream(c10::Device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, other_device());
  }
  c10::Stream getDefaultStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, other_device()); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, other_device());
  }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, OtherGuard)

struct OtherHooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
};

/// The same numbers as a tensor of the CPU; CPU tensors as they are.
at::Tensor host_view(const at::Tensor& x) {
  if (x.device().is_cpu()) return x;
  const auto options = x.options().device(at::kCPU);
  if (x.numel() == 0) return at::empty_strided(x.sizes(), x.strides(), options);
  return at::from_blob(to_host(x.data_ptr()), x.sizes(), x.strides(), options);
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool /*non_blocking*/) {
  if (!inside_operator && from.device().is_cpu()) ++uploads;
  if (!inside_operator && to.device().is_cpu()) ++downloads;
  host_view(to).copy_(host_view(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) at::native::resize_(to, from.sizes());
  return copy_from(from, to, false);
}

at::Scalar one_number(const at::Tensor& x) {
  if (!inside_operator) ++downloads;
  return host_view(x).item();
}

void expect_other(const c10::OperatorHandle& op, const at::Tensor& x) {
  TORCH_CHECK(!x.defined() || !x.device().is_cpu() || x.dim() == 0, op.schema().name(),
              ": expected all tensors on one device, found some on ", other_device(), " and one of ", x.sizes(),
              " on the CPU");
}

void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  for (const c10::IValue& argument : torch::jit::last(*stack, op.schema().arguments().size())) {
    if (argument.isTensor()) {
      expect_other(op, argument.toTensor());
    } else if (argument.isTensorList()) {
      for (const at::Tensor& x : argument.toTensorVector()) expect_other(op, x);
    } else if (argument.isOptionalTensorList()) {
      for (const std::optional<at::Tensor>& x : argument.toOptionalTensorVector())
        expect_other(op, x.value_or(at::Tensor()));
    }
  }
  ++operators;
  const InsideOperator inside;
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", one_number);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", static_cast<at::Tensor (*)(const at::Tensor&, at::IntArrayRef)>(at::native::view));
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("resize_", at::native::resize_);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>()); }

const bool registered = [] {
  static OtherHooks hooks;
  c10::register_privateuse1_backend("other");
  at::RegisterPrivateUse1HooksInterface(&hooks);
  return true;
}();

}  // namespace

torch::Device other_device() { return {c10::DeviceType::PrivateUse1, 0}; }

Crossings crossings() { return {.uploads = uploads, .downloads = downloads, .operators = operators}; }

void reset_crossings() { uploads = downloads = operators = 0; }

}  // namespace loraxs::test
