#include "cli/subcommands/doctor.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands/doctor_bench.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "io/error.h"
#include "ops/device.h"
#include "ops/frozen_gemm.h"

namespace loraxs {
namespace {

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

/// TFLOP/s of x [rows, k] · W [n, k]ᵀ: the best of five rounds, since other work only slows it.
double gemm_speed(torch::ScalarType dtype, GemmBackend backend, int64_t rows, int64_t k, int64_t n) {
  const torch::Tensor x = torch::ones({rows, k}, dtype), weight = torch::ones({n, k}, dtype);
  const double work = 2.0 * static_cast<double>(rows * k * n);
  const int64_t repeats = std::max<int64_t>(1, static_cast<int64_t>(2e9 / work));
  double best = 0;
  frozen_gemm(x, weight, {}, backend);
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < repeats; ++i) frozen_gemm(x, weight, {}, backend);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, work * static_cast<double>(repeats) / seconds / 1e12);
  }
  return best;
}

}  // namespace

int run(const DoctorOptions& options, const CommonOptions& common) {
  const Cores& cores = common.cores;
  std::string reason;
  const torch::ScalarType automatic = resolve_precision("auto", &reason);
  nlohmann::json json = {
      {"cpu", cpu_name()},
      {"threads", at::get_num_threads()},
      {"cores", {{"affinity", cores.affinity}, {"quota", nullptr}, {"allowed", cores.allowed()}}},
      {"torch", TORCH_VERSION},
      {"devices", device_names()},
      {"gemm", gemm_record()},
      {"precision_auto", precision_name(automatic)},
      {"precision_reason", reason},
      {"rows_independent_of_batch",
       {{"float32", row_invariant(torch::kFloat32)}, {"bfloat16", row_invariant(torch::kBFloat16)}}}};
  if (cores.quota) json["cores"]["quota"] = *cores.quota;
  nlohmann::json speeds = nlohmann::json::array();
  Progress progress(stderr_log(common));
  progress.begin("measuring");
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    for (const GemmBackend backend : {GemmBackend::kAten, GemmBackend::kOneDnn}) {
      if (backend == GemmBackend::kOneDnn && gemm_backend(dtype) != GemmBackend::kOneDnn) continue;
      for (const int64_t rows : {8, 365, 1500}) {
        speeds.push_back({{"dtype", precision_name(dtype)},
                          {"backend", gemm_backend_name(backend)},
                          {"rows", rows},
                          {"tflops", gemm_speed(dtype, backend, rows, 384, 1184)}});
      }
    }
  }
  json["gemm_384x1184"] = speeds;
  if (!options.bench.empty()) {
    const double tflops = gemm_speed(torch::kFloat32, gemm_backend(torch::kFloat32), 512, 576, 1536);
    json["bench"] = bench_model(options.bench, tflops, common);
  }
  if (common.json) {
    std::cout << json.dump() << '\n';
    return 0;
  }
  std::cout << "CPU: " << json["cpu"].get<std::string>() << ", " << at::get_num_threads() << " threads on "
            << cores.affinity << " cores" << (cores.quota ? concat(" with a quota of ", *cores.quota) : "")
            << "\ntorch " << TORCH_VERSION << "\ndevices:";
  for (const std::string& name : device_names()) std::cout << ' ' << name;
  std::cout << "\nGEMM table: " << gemm_record() << "\nprecision auto: " << precision_name(automatic) << ", because "
            << reason << "\nrows independent of the batch: float32 "
            << (json["rows_independent_of_batch"]["float32"].get<bool>() ? "yes" : "no") << ", bfloat16 "
            << (json["rows_independent_of_batch"]["bfloat16"].get<bool>() ? "yes" : "no") << '\n';
  for (const auto& speed : speeds) {
    std::printf("GEMM %-9s %-7s %5ld rows x 384 x 1184: %.3f TFLOP/s\n", speed["dtype"].get<std::string>().c_str(),
                speed["backend"].get<std::string>().c_str(), speed["rows"].get<long>(), speed["tflops"].get<double>());
  }
  if (json.contains("bench")) print_bench(json["bench"]);
  return 0;
}

}  // namespace loraxs
