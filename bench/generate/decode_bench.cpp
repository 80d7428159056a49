// Tokens per second of greedy decoding: loraxs_decode_bench MODEL PRECISION normal|tight BATCH ADAPTERS RANK NEW_TOKENS
// RUNS [PROMPT_TOKENS]. Prompts of 32 random ids, or as many as are named; with ADAPTERS > 0 sequence i uses adapter i
// mod ADAPTERS, random R on every linear module; PRECISION may be int8. One line of JSON: medians of the rates of
// answers and of prompts, all of the answers', threads and the GEMM table.
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "api/opened_adapter.h"
#include "generate/cached_model.h"
#include "generate/scheduler.h"
#include "io/seeds.h"
#include "ops/frozen_gemm.h"

namespace loraxs {
namespace {

struct Rates {
  double answers = 0, prompts = 0;  // tokens per second
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

AdapterSet random_adapters(const BaseModel& model, int64_t count, int64_t rank, Basis& basis) {
  AdapterSet set;
  if (count == 0) return set;
  basis.recipe.rank = rank;
  basis.recipe.variant = "random";  // speed does not depend on the vectors
  const std::vector<Site> sites = list_sites(*model.architecture, model.config);
  for (const Site& site : sites)
    basis.sites[site.name] = compute_site_basis(model.site_weight(site), site.name, basis.recipe);
  const Layout layout = make_layout("lora_xs", sites, rank, {}, model.config.hidden_size, "bench");
  auto bank = std::make_shared<Bank>(make_bank(layout, /*alpha=*/static_cast<double>(rank), count));
  fill_normal(std::span(bank->values.mutable_data_ptr<float>(), bank->values.numel()), 1, 0.02);
  return AdapterSet::of_bank(std::move(bank));
}

Rates tokens_per_second(AdaptedModel& model, int64_t batch, int64_t adapters, int64_t tokens, int64_t prompt_tokens) {
  CachedModel cached(model, batch * KvCache::blocks_for(prompt_tokens + tokens));
  Scheduler scheduler(cached, {.context = prompt_tokens + tokens, .tokens_per_step = batch * prompt_tokens});
  for (int64_t i = 0; i < batch; ++i) {
    GenerationRequest request{.slot = adapters > 0 ? i % adapters : kNoSlot, .max_new_tokens = tokens};
    for (int64_t p = 0; p < prompt_tokens; ++p)
      request.prompt.push_back(static_cast<int32_t>(mix_seed(static_cast<uint64_t>(i), p) % model.config().vocab_size));
    scheduler.submit(std::move(request));
  }
  scheduler.step();  // the prompts, and the first token of each answer
  const auto start = std::chrono::steady_clock::now();
  while (scheduler.step()) {
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {.answers = static_cast<double>(batch * (tokens - 1)) / seconds,
          .prompts = static_cast<double>(batch * prompt_tokens) / cached.times().prompt_seconds};
}

int run(const std::vector<std::string>& words) {
  const bool int8 = words[1] == "int8";
  const torch::ScalarType dtype = int8 ? torch::kFloat32 : resolve_precision(words[1]);
  const WeightMemory memory = int8 ? WeightMemory::kInt8 : weight_memory(words[2]);
  const int64_t batch = std::stoll(words[3]), adapters = std::stoll(words[4]), rank = std::stoll(words[5]);
  const BaseModel base = open_model(words[0], {});
  auto basis = std::make_shared<Basis>();
  const AdapterSet set = random_adapters(base, adapters, rank, *basis);
  AdaptedModel model(base, basis, set, dtype, torch::kCPU, memory);
  const int64_t prompt_tokens = words.size() > 8 ? std::stoll(words[8]) : 32;
  std::vector<double> answers, prompts;
  for (int64_t i = 0; i < std::stoll(words[7]); ++i) {
    const Rates rates = tokens_per_second(model, batch, adapters, std::stoll(words[6]), prompt_tokens);
    answers.push_back(rates.answers);
    prompts.push_back(rates.prompts);
  }
  std::cout << nlohmann::json({{"tokens_per_second", median(answers)},
                               {"prompt_tokens_per_second", median(prompts)},
                               {"prompt_tokens", prompt_tokens},
                               {"all", answers},
                               {"batch", batch},
                               {"adapters", adapters},
                               {"rank", rank},
                               {"precision", words[1]},
                               {"memory", words[2]},
                               {"gemm", gemm_record()}})
                   .dump()
            << '\n';
  return 0;
}

}  // namespace
}  // namespace loraxs

int main(int argc, char** argv) {
  if (argc != 9 && argc != 10) {
    std::cerr << "usage: loraxs_decode_bench MODEL PRECISION normal|tight BATCH ADAPTERS RANK NEW_TOKENS RUNS "
                 "[PROMPT_TOKENS]\n";
    return 2;
  }
  return loraxs::run({argv + 1, argv + argc});
}
