// Training steps of a decoder on the batches of bench/peers/train_decoder_peer.py, as one JSON line: usage
// loraxs_decoder_step FOLDER [steps] [rank] [float32 | bfloat16] [activation budget in MB, -1 = keep everything]
// [normal | tight].
#include <ATen/Parallel.h>
#include <sys/resource.h>
#include <torch/csrc/autograd/custom_function.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "io/safetensors.h"
#include "io/seeds.h"
#include "ops/row_optimizer.h"
#include "train/language_objective.h"

namespace loraxs {
namespace {

using Clock = std::chrono::steady_clock;

int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

std::vector<Sequence> step_sequences(const Safetensors& file, int64_t step) {
  constexpr int64_t kBatch = 4;
  const torch::Tensor ids = view_tensor(file.at("input_ids")), is_target = view_tensor(file.at("is_target")),
                      starts = view_tensor(file.at("starts"));
  std::vector<Sequence> sequences(kBatch);
  for (int64_t s = 0; s < kBatch; ++s) {
    const int32_t* at = starts.const_data_ptr<int32_t>() + step * kBatch + s;
    const int32_t *id = ids.const_data_ptr<int32_t>(), *mark = is_target.const_data_ptr<int32_t>();
    sequences[s].slot = 0;
    sequences[s].input_ids.assign(id + at[0], id + at[1]);
    sequences[s].is_target.assign(mark + at[0], mark + at[1]);
  }
  weigh_step(sequences);
  return sequences;
}

/// Orthonormal stand-ins: a basis's values do not matter to the speed.
std::shared_ptr<Basis> random_basis(const std::vector<Site>& sites, int64_t rank) {
  auto basis = std::make_shared<Basis>();
  basis->recipe.rank = rank;
  for (const Site& site : sites) {
    basis->sites[site.name] = {.a = torch::randn({rank, site.in_features}) * 0.03,
                               .b = torch::randn({site.out_features, rank}) * 0.03};
  }
  return basis;
}

int run(const std::vector<std::string>& arguments) {
  const auto argument = [&](size_t i, const char* fallback) {
    return i < arguments.size() ? arguments[i] : std::string(fallback);
  };
  const std::filesystem::path folder = argument(0, "");
  const int64_t steps = std::stoll(argument(1, "4")), rank = std::stoll(argument(2, "64"));
  const auto dtype = argument(3, "float32") == "bfloat16" ? torch::kBFloat16 : torch::kFloat32;
  const int64_t budget_mb = std::stoll(argument(4, "-1"));
  const WeightMemory memory = weight_memory(argument(5, "normal"));
  const BaseModel model = load_base_model(folder, "");
  int64_t weights = 0;
  for (const auto& [name, tensor] : model.weights) weights += tensor.numel() * c10::elementSize(dtype);
  const std::vector<Site> sites = list_sites(*model.architecture, model.config);
  const Layout layout = make_layout("lora_xs", sites, rank, HeadLayout{}, model.config.hidden_size, "bench");
  const auto bank = std::make_shared<Bank>(make_bank(layout, static_cast<double>(rank), 1));
  fill_normal(std::span(bank->values.mutable_data_ptr<float>(), bank->values.numel()), 1, 1e-5);
  bank->gradients = torch::zeros_like(bank->values);
  AdaptedModel adapted(model, random_basis(sites, rank), AdapterSet::of_bank(bank), dtype, torch::kCPU, memory);
  if (budget_mb >= 0) adapted.limit_activations(budget_mb << 20);
  const OptimizerRows rows{bank->values, bank->gradients, torch::zeros_like(bank->values),
                           torch::zeros_like(bank->values)};
  const Safetensors file = read_safetensors(folder / "batches.safetensors");
  const int64_t before = peak_bytes();
  std::vector<double> losses;
  int64_t tokens = 0;
  double seconds = 0;
  for (int64_t step = 0; step < steps; ++step) {
    const auto start = Clock::now();
    const PackedBatch batch = pack(step_sequences(file, step));
    const ObjectiveValue value = language_objective(adapted, batch);
    value.total.backward();
    adamw_step_(rows, 0, step + 1, std::vector<RateSegment>{{0, layout.row_size, 1e-3}}, AdamWConfig{});
    losses.push_back(value.job_losses()[0]);
    if (step == 0) continue;  // warms caches up
    tokens += batch.num_tokens();
    seconds += std::chrono::duration<double>(Clock::now() - start).count();
  }
  std::cout << nlohmann::json({{"contender", dtype == torch::kBFloat16 ? "loraxs bf16" : "loraxs"},
                               {"tokens_per_second", static_cast<double>(tokens) / seconds},
                               {"losses", losses},
                               {"peak_memory_bytes", peak_bytes()},
                               {"before_steps_bytes", before},
                               {"weight_bytes", weights},
                               {"memory_above_weights_bytes", peak_bytes() - weights},
                               {"dtype", torch::toString(dtype)},
                               {"memory", argument(5, "normal")},
                               {"threads", at::get_num_threads()}})
                   .dump()
            << '\n';
  return 0;
}

}  // namespace
}  // namespace loraxs

int main(int argc, char** argv) { return loraxs::run({argv + 1, argv + argc}); }
