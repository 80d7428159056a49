#include "commands/doctor_bench.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "api/text_model.h"
#include "commands/session.h"
#include "io/seeds.h"
#include "ops/frozen_gemm.h"
#include "ops/int8_product.h"

namespace loraxs {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// GB/s of all threads reading 256 MB that no cache holds: the best of five.
double read_bandwidth() {
  const torch::Tensor numbers = torch::ones({int64_t{1} << 26}, torch::kFloat32);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    numbers.sum();
    best = std::max(best, static_cast<double>(numbers.nbytes()) / seconds_since(start) / 1e9);
  }
  return best;
}

/// Prompts of up to 256 random tokens with answers of 32, one at a time, for three seconds.
nlohmann::json measured(const TextModelOptions& options, const Settings& settings) {
  constexpr int64_t kPrompt = 256, kAnswer = 32;
  constexpr double kSeconds = 3;
  TextModel model(options, settings);
  model.use(nullptr, {});
  Scheduler& scheduler = model.scheduler(/*sequences=*/1, /*ignore_eos=*/true);
  const auto vocab = static_cast<uint64_t>(model.base().config.vocab_size);
  StepTimes warm;
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t request = 0; request < 2 || seconds_since(start) < kSeconds; ++request) {
    GenerationRequest asked{.max_new_tokens = kAnswer};
    const int64_t length = std::max<int64_t>(1, std::min(kPrompt, model.context() - kAnswer));
    for (int64_t i = 0; i < length; ++i)
      asked.prompt.push_back(static_cast<int32_t>(mix_seed(request, static_cast<uint64_t>(i)) % vocab));
    scheduler.submit(std::move(asked));
    while (scheduler.step()) {
    }
    if (request == 0) warm = model.times();  // pages and kernels of the libraries are there from here on
  }
  const StepTimes& all = model.times();
  const auto rate = [](int64_t tokens, double seconds) {
    return static_cast<double>(tokens) / std::max(seconds, 1e-9);
  };
  return {{"precision", model.precision()},
          {"prompt_tokens_per_second",
           rate(all.prompt_tokens - warm.prompt_tokens, all.prompt_seconds - warm.prompt_seconds)},
          {"answer_tokens_per_second",
           rate(all.answer_tokens - warm.answer_tokens, all.answer_seconds - warm.answer_seconds)}};
}

}  // namespace

nlohmann::json bench_model(const std::string& model, double gemm_tflops, const CommonOptions& common) {
  const Settings settings = settings_of(common);
  nlohmann::json rows = nlohmann::json::array();
  for (const std::string precision : {"float32", "bfloat16", "int8"}) {
    const char* reason = nullptr;
    if (precision == "bfloat16" && gemm_backend(torch::kBFloat16) == GemmBackend::kAten)
      reason = "this CPU has no instructions for it: prompts run at a tenth of float32";
    if (precision == "int8" && int8::kernel().name == std::string("plain"))
      reason = "this CPU has no AVX2: integers are multiplied one by one";
    if (reason != nullptr) {
      rows.push_back({{"precision", precision}, {"left_out", reason}});
    } else {
      rows.push_back(measured({.model = model, .precision = precision}, settings));
    }
  }
  return {{"model", rows}, {"read_gb_per_second", read_bandwidth()}, {"gemm_tflops", gemm_tflops}};
}

void print_bench(const nlohmann::json& bench) {
  std::printf("read bandwidth: %.1f GB/s\n", bench["read_gb_per_second"].get<double>());
  for (const auto& row : bench["model"]) {
    const std::string precision = row["precision"].get<std::string>();
    if (row.contains("left_out")) {
      std::printf("%-9s left out: %s\n", precision.c_str(), row["left_out"].get<std::string>().c_str());
    } else {
      std::printf("%-9s prompt %.0f tokens/s, answer %.1f tokens/s\n", precision.c_str(),
                  row["prompt_tokens_per_second"].get<double>(), row["answer_tokens_per_second"].get<double>());
    }
  }
}

}  // namespace loraxs
