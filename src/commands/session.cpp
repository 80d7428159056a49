#include "commands/session.h"

#include <sys/resource.h>

#include <array>
#include <cstdlib>
#include <iostream>

#include "io/error.h"
#include "io/fields.h"
#include "ops/frozen_gemm.h"

namespace loraxs {

std::filesystem::path cache_folder(const CommonOptions& common) {
  if (!common.cache.empty()) return common.cache;
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != '\0')
    return std::filesystem::path(xdg) / "loraxs";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::filesystem::path(home) / ".cache" / "loraxs";
  return std::filesystem::temp_directory_path() / "loraxs-cache";
}

LogSink stderr_log(const CommonOptions& common) {
  const bool quiet = common.quiet;
  return [quiet](LogLevel level, const std::string& line) {
    if (level == LogLevel::kWarning) {
      std::cerr << "loraxs: warning: " << line << '\n';
    } else if (!quiet) {
      std::cerr << line << '\n';
    }
  };
}

torch::ScalarType resolve_precision(const std::string& precision, std::string* reason) {
  const auto because = [&](const std::string& text) {
    if (reason != nullptr) *reason = text;
  };
  if (precision == "float64") return torch::kFloat64;
  if (precision == "float32" || precision == "fp32") return torch::kFloat32;
  if (precision == "bfloat16" || precision == "bf16") return torch::kBFloat16;
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512bf16")) {
    because("the CPU has avx512_bf16");
    return torch::kBFloat16;
  }
#endif
  because("the CPU has no avx512_bf16, where bfloat16 is slower than float32");
  return torch::kFloat32;
}

std::shared_ptr<const Basis> basis_for(const BaseModel& model, const std::vector<Site>& sites,
                                       const BasisRecipe& recipe, const std::string& basis_path,
                                       const CommonOptions& common) {
  if (!basis_path.empty()) return std::make_shared<Basis>(read_basis(basis_path));
  return std::make_shared<Basis>(cached_basis(
      cache_folder(common), sites, [&](const Site& site) { return model.site_weight(site); }, model.base_id, recipe,
      stderr_log(common)));
}

OpenedAdapter open_adapter_on_model(const AdapterOptions& options, const CommonOptions& common) {
  OpenedAdapter opened{.model = load_base_model(options.model, cache_folder(common)),
                       .file = read_adapter(options.adapter)};
  const Layout layout = resolve_layout(opened.file, opened.model, options.accept_base);
  opened.basis = basis_for(opened.model, layout.sites, opened.file.basis, options.basis, common);
  opened.bank = std::make_shared<Bank>(open_adapter(opened.file, layout, *opened.basis));
  return opened;
}

AdaptedModel adapted_model(const OpenedAdapter& opened, const std::string& precision) {
  const torch::ScalarType dtype = resolve_precision(precision);
  auto bank = opened.bank;
  if (dtype == torch::kFloat64) {
    bank = std::make_shared<Bank>(*opened.bank);
    bank->values = opened.bank->values.to(torch::kFloat64);
  }
  return AdaptedModel(opened.model, opened.basis, AdapterSet::of_bank(bank), dtype);
}

void warn_on_drift(const AdapterFile& file, const LogSink& log) {
  const std::string& trained = file.provenance.gemm_record;
  if (trained.empty() || trained == gemm_record()) return;
  log(LogLevel::kWarning, concat(file.path.string(), ": trained with \"", trained, "\", this machine runs \"",
                                 gemm_record(), "\"; results may differ in the last digits"));
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  constexpr int64_t kKilobyte = 1024;  // ru_maxrss on Linux
  return usage.ru_maxrss * kKilobyte;
}

std::string human_bytes(int64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

}  // namespace loraxs
