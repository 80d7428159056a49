// What adapters cost a training step: loraxs_bank_step MODEL PRECISION SENTENCES TOKENS RANK ROUNDS [ADAPTERS…]. A step
// of an encoder, forward and backward, on SENTENCES random texts of TOKENS tokens that share ADAPTERS rows evenly
// (targets as in the paper), beside the floor: the same forward and the same backward of activations down to the lowest
// adapted site without any adapter's work. In turn, ROUNDS times; one line of JSON with medians and ratios to the
// floor.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "adapt/adapted_model.h"
#include "api/opened_adapter.h"
#include "io/seeds.h"
#include "ops/frozen_gemm.h"
#include "train/recipe_layout.h"

namespace loraxs {
namespace {

using Clock = std::chrono::steady_clock;

/// Frozen projections alone; those that adapters would train keep their place in autograd's graph.
class FloorHook final : public ProjectionHook {
 public:
  FloorHook(const PreparedModel& model, const AdaptedModel& adapted) : model_(model) {
    anchor_ = torch::zeros({}).requires_grad_(true);
    for (size_t g = 0; g < model.num_groups(); ++g)
      trained_.push_back(!adapted.prepared()->projection(g).sites.empty());
  }
  torch::Tensor project(size_t group, const torch::Tensor& x, RowKind) const override {
    return adapted_linear(x, trained_[group] ? anchor_ : torch::Tensor(), model_.projection(group), nullptr);
  }
  bool trains(size_t group) const override { return trained_[group]; }

 private:
  const PreparedModel& model_;
  std::vector<bool> trained_;
  torch::Tensor anchor_;
};

PackedBatch random_batch(const ModelConfig& config, int64_t sentences, int64_t tokens, int64_t adapters) {
  std::vector<Sequence> sequences(sentences);
  for (int64_t s = 0; s < sentences; ++s) {
    sequences[s].slot = s * adapters / sentences;
    for (int64_t t = 0; t < tokens; ++t)
      sequences[s].input_ids.push_back(static_cast<int32_t>(mix_seed(s, t) % config.vocab_size));
  }
  return pack(sequences);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int run(const std::vector<std::string>& words) {
  BaseModel base = open_model(words[0], {});
  base.config.disable_dropout();
  const torch::ScalarType dtype = resolve_precision(words[1]);
  const int64_t sentences = std::stoll(words[2]), tokens = std::stoll(words[3]), rank = std::stoll(words[4]);
  MethodRecipe method;
  method.rank = rank;
  const Layout layout = recipe_layout(method, {}, base, "bench");
  auto basis = std::make_shared<Basis>();
  basis->recipe.rank = rank;
  for (const Site& site : layout.sites) {  // speed does not depend on the vectors
    basis->sites[site.name] = {.a = torch::randn({rank, site.in_features}) * 0.03,
                               .b = torch::randn({site.out_features, rank}) * 0.03};
  }
  struct Contender {
    std::string name;
    std::function<void()> step;
    std::vector<double> seconds;
  };
  std::vector<Contender> contenders;
  std::vector<std::shared_ptr<AdaptedModel>> models;
  for (size_t i = 6; i < words.size(); ++i) {
    const int64_t adapters = std::stoll(words[i]);
    auto bank = std::make_shared<Bank>(make_bank(layout, static_cast<double>(rank), adapters));
    fill_normal(std::span(bank->values.mutable_data_ptr<float>(), bank->values.numel()), 1, 0.1);
    bank->gradients = torch::zeros_like(bank->values);
    models.push_back(std::make_shared<AdaptedModel>(base, basis, AdapterSet::of_bank(bank), dtype));
    const PackedBatch batch = random_batch(base.config, sentences, tokens, adapters);
    contenders.push_back({words[i], [model = models.back(), batch] {
                            model->encode(batch, true).to(torch::kFloat32).square().mean().backward();
                          }});
  }
  const PreparedModel plain(base, nullptr, {}, {.dtype = dtype, .both_ways = true});
  const auto hook = std::make_shared<FloorHook>(plain, *models.front());
  const BatchTensors tensors = make_batch_tensors(random_batch(base.config, sentences, tokens, 1), torch::kCPU);
  contenders.push_back(
      {"floor",
       [&] { plain.backbone().forward(tensors, hook, true, nullptr).to(torch::kFloat32).square().mean().backward(); }});
  for (int64_t round = -1; round < std::stoll(words[5]); ++round) {
    for (Contender& contender : contenders) {
      const auto start = Clock::now();
      contender.step();
      if (round >= 0) contender.seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
  }
  const double floor = median(contenders.back().seconds);
  nlohmann::json result = {{"floor_seconds", floor}, {"sentences", sentences}, {"tokens", tokens},
                           {"rank", rank},           {"precision", words[1]},  {"gemm", gemm_record()}};
  for (const Contender& contender : contenders) {
    std::vector<double> ratios;
    for (size_t i = 0; i < contender.seconds.size(); ++i)
      ratios.push_back(contender.seconds[i] / contenders.back().seconds[i]);
    result["ratio"][contender.name] = median(ratios);
  }
  std::cout << result.dump() << '\n';
  return 0;
}

}  // namespace
}  // namespace loraxs

int main(int argc, char** argv) {
  if (argc < 8) {
    std::cerr << "usage: loraxs_bank_step MODEL PRECISION SENTENCES TOKENS RANK ROUNDS ADAPTERS…\n";
    return 2;
  }
  return loraxs::run({argv + 1, argv + argc});
}
