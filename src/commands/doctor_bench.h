// commands/doctor_bench.h: how fast this machine reads a model's prompts and writes answers, precision by precision.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "cli/options.h"

namespace loraxs {

/// {"read_gb_per_second", "gemm_tflops", "model": [{"precision", "prompt_tokens_per_second",
/// "answer_tokens_per_second"}, …]}; a precision that would crawl here has "left_out" with the reason instead of rates.
/// About five seconds a precision. Throws Error for a model that writes no text.
nlohmann::json bench_model(const std::string& model, double gemm_tflops, const CommonOptions& common);
/// The same for people.
void print_bench(const nlohmann::json& bench);

}  // namespace loraxs
