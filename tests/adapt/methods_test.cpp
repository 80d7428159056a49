// Every method against PEFT (full fine-tuning: PyTorch; Tied-LoRA: a formula) with its tensors loaded, on an encoder
// and a decoder: outputs, gradients, 20 steps, counts, merging; and jobs of one bank against each alone.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "adapt/adapter_file.h"
#include "adapt/exchange/peft.h"
#include "adapt/merge.h"
#include "adapt/rank_allocator.h"
#include "adapt/site_binding.h"
#include "io/error.h"
#include "ops/adapted_linear.h"
#include "ops/frozen_gemm.h"
#include "ops/row_optimizer.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/oracle_folder.h"
#include "support/segments.h"
#include "support/temporary_folder.h"
#include "support/trajectory.h"
#include "train/language_objective.h"
#include "train/objective.h"
#include "train/recipe_layout.h"

namespace loraxs {
namespace {

/// A file of tests/oracles/make_methods.py: one method on one family.
struct MethodCase {
  Safetensors file;
  BaseModel model;
  std::string method;
  MethodRecipe recipe;
  Layout layout;
  std::shared_ptr<Basis> basis = std::make_shared<Basis>();

  torch::Tensor tensor(const std::string& name) const { return view_tensor(file.at(name)).clone(); }
  bool decoder() const { return model.architecture->kind == ModelKind::kDecoder; }

  explicit MethodCase(const std::string& name)
      : file(read_safetensors(test::oracle_folder() / "methods" / (name + ".safetensors"))),
        model(load_base_model(test::oracle_folder() / file.metadata.at("base"), "")),
        method(file.metadata.at("method")) {
    model.config.disable_dropout();
    recipe.name = method == "rslora" ? "lora" : method;
    recipe.rslora = method == "rslora";
    recipe.rank = std::stoll(file.metadata.at("rank"));
    recipe.alpha = std::stod(file.metadata.at("alpha"));
    recipe.vectors = 7;
    recipe.projection_seed = 11;
    recipe.basis.seed = 3;
    recipe.targets.clear();
    std::istringstream targets(file.metadata.at("targets"));
    for (std::string target; std::getline(targets, target, ',');) recipe.targets.push_back("site:" + target);
    HeadLayout head;
    if (!decoder()) head = make_head("full", 3, /*regression=*/false, *model.architecture, "test");
    layout = recipe_layout(recipe, head, model, "test");
    BasisRecipe wanted = method_basis(recipe);
    wanted.rank = recipe.rank;
    if (wanted.variant == "vera") {
      *basis = draw_vera_basis(layout.sites, model.base_id, wanted);
    } else if (file.tensors.contains("basis." + layout.sites.front().name + ".a")) {
      basis->recipe = wanted;
      for (const Site& site : layout.sites) {
        basis->sites[site.name] = {.a = tensor("basis." + site.name + ".a"), .b = tensor("basis." + site.name + ".b")};
      }
    }
    basis->basis_id = "test";
  }

  /// PEFT's tensors in a bank of one, with the checkpoint's head.
  std::shared_ptr<Bank> bank(torch::ScalarType dtype) const {
    auto bank = std::make_shared<Bank>(make_bank(layout, recipe.alpha, 1, dtype));
    if (!decoder()) bank->set_labels(0, {"x", "y", "z"});
    const Safetensors checkpoint = read_safetensors_folder(model.folder);
    for (const LayoutSegment& segment : layout.segments) {
      const torch::Tensor value =
          segment.head
              ? view_tensor(checkpoint.at("classifier" + segment.name.substr(std::string("head.classifier").size())))
              : tensor("part." + segment.name);
      bank->values.select(0, 0).narrow(0, segment.offset, segment.numel()).copy_(value.reshape(-1));
    }
    bank->gradients = torch::zeros_like(bank->values);
    return bank;
  }

  /// PEFT's row, whose order is that of its modules, in ours.
  torch::Tensor our_order(const torch::Tensor& theirs) const {
    torch::Tensor row = torch::zeros({layout.adapter_numbers}, theirs.options());
    std::istringstream names(file.metadata.at("names"));
    int64_t at = 0;
    for (std::string name; std::getline(names, name, ',');) {
      const LayoutSegment* segment = layout.find(name);
      TORCH_CHECK(segment != nullptr, "no segment ", name);
      row.narrow(0, segment->offset, segment->numel()).copy_(theirs.narrow(0, at, segment->numel()));
      at += segment->numel();
    }
    TORCH_CHECK(at == theirs.numel(), "the oracle trains ", theirs.numel(), " numbers, we ", at);
    return row;
  }
  torch::Tensor gradients(const std::string& suffix) const {
    std::vector<torch::Tensor> parts;
    std::istringstream names(file.metadata.at("names"));
    for (std::string name; std::getline(names, name, ',');) {
      parts.push_back(tensor("grad" + suffix + "." + name).reshape(-1));
    }
    return our_order(torch::cat(parts));
  }

  std::vector<Sequence> sequences(int64_t slot = 0) const {
    const torch::Tensor ids = tensor("input_ids"), starts = tensor("starts"), labels = tensor("labels"),
                        marks = tensor(decoder() ? "is_target" : "token_type_ids");
    std::vector<Sequence> result;
    for (int64_t s = 0; s + 1 < starts.numel(); ++s) {
      Sequence sequence{.slot = slot, .example = static_cast<uint64_t>(s)};
      sequence.target = labels[s].item<float>();
      for (int64_t i = starts[s].item<int32_t>(); i < starts[s + 1].item<int32_t>(); ++i) {
        sequence.input_ids.push_back(ids[i].item<int32_t>());
        if (decoder()) {
          sequence.is_target.push_back(static_cast<uint8_t>(marks[i].item<int32_t>()));
        } else {
          sequence.token_type_ids.push_back(marks[i].item<int32_t>());
        }
      }
      result.push_back(std::move(sequence));
    }
    return result;
  }

  AdaptedModel adapted(const std::shared_ptr<Bank>& bank, torch::ScalarType dtype) const {
    return AdaptedModel(model, basis, AdapterSet::of_bank(bank), dtype);
  }
  torch::Tensor logits(AdaptedModel& adapted) const {
    torch::NoGradGuard no_grad;
    return decoder() ? adapted.token_logits(pack(sequences(), Ask::kAll))
                     : adapted.logits(pack(sequences()), false).values;
  }
  ObjectiveValue loss(AdaptedModel& adapted, std::vector<Sequence> step) const {
    weigh_step(step);
    const PackedBatch batch = pack(step);
    return decoder() ? language_objective(adapted, batch) : objective(adapted.logits(batch, true), batch);
  }
};

struct Precision {
  torch::ScalarType dtype;
  const char* suffix;
};
const Precision kPrecisions[] = {{torch::kFloat32, ""}, {torch::kFloat64, "64"}};

class MethodTest : public testing::TestWithParam<std::string> {
 protected:
  const MethodCase oracle{GetParam()};
  /// In float64; where PEFT itself holds float32 factors of an SVD, no closer than their rounding.
  double exact() const { return starts_from_basis(oracle.recipe) && oracle.method != "vera" ? 2e-6 : 1e-8; }
  torch::Tensor site_gradients(const Bank& bank) const {
    return bank.gradients.select(0, 0).narrow(0, 0, oracle.layout.adapter_numbers);
  }
};

TEST_P(MethodTest, CountsWhatPeftTrains) {
  EXPECT_EQ(std::to_string(oracle.layout.adapter_numbers), oracle.file.metadata.at("count"));
}

TEST_P(MethodTest, OutputsAndGradientsEqualPeft) {
  for (const Precision& precision : kPrecisions) {
    SCOPED_TRACE(precision.suffix);
    const double tolerance = precision.dtype == torch::kFloat64 ? exact() : 1e-5;
    const auto bank = oracle.bank(precision.dtype);
    AdaptedModel model = oracle.adapted(bank, precision.dtype);
    const std::string suffix = precision.suffix;
    const torch::Tensor expected = oracle.tensor("logits" + suffix);
    EXPECT_LE(test::largest_error(oracle.logits(model), expected), tolerance);
    EXPECT_GT(test::largest_error(oracle.tensor("plain_logits" + suffix), expected), 1e-2);  // control: it matters
    const ObjectiveValue loss = oracle.loss(model, oracle.sequences());
    const double expected_loss = oracle.tensor("loss" + suffix).item<double>();
    EXPECT_NEAR(loss.job_losses()[0], expected_loss, tolerance * expected_loss);
    loss.total.backward();
    // Measured against float64: float32 may be off by 1e-5 or by what PyTorch's own float32 is off.
    const torch::Tensor exact_gradients = oracle.gradients("64");
    const double theirs = test::relative_error(oracle.gradients(suffix), exact_gradients);
    EXPECT_TRUE(test::close(site_gradients(*bank), exact_gradients, std::max(tolerance, theirs))) << theirs;
    EXPECT_FALSE(test::close(site_gradients(*bank).flip(0), exact_gradients, 1e-2));  // control
    for (const LayoutSegment& segment : oracle.layout.segments) {                     // none is forgotten
      if (segment.head) continue;
      EXPECT_TRUE(test::close(site_gradients(*bank).narrow(0, segment.offset, segment.numel()),
                              exact_gradients.narrow(0, segment.offset, segment.numel()), 1e-3))
          << segment.name;
    }
  }
}

TEST_P(MethodTest, TwentyStepsEqualPeft) {
  const std::vector<Sequence> sequences = oracle.sequences();
  const torch::Tensor order = oracle.tensor("batches"), losses = oracle.tensor("losses64"),
                      expected = oracle.tensor("rows64");
  const int64_t all_steps = order.size(0), numbers = oracle.layout.adapter_numbers;
  torch::Tensor last;  // row of the last run
  const auto run = [&](torch::ScalarType dtype, double learning_rate, int64_t steps) {
    const auto bank = oracle.bank(dtype);
    AdaptedModel model = oracle.adapted(bank, dtype);
    const OptimizerRows rows{bank->values, bank->gradients, torch::zeros_like(bank->values),
                             torch::zeros_like(bank->values)};
    std::optional<RankAllocator> allocator;
    const RankMemory memory{torch::zeros({numbers}, bank->values.options()),
                            torch::zeros({numbers}, bank->values.options())};
    if (oracle.method == "adalora") {
      const RankBudget budget{.target_rank = 2,
                              .initial_steps = 3,
                              .final_steps = 5,
                              .interval = 2,
                              .beta1 = 0.8,
                              .beta2 = 0.7,
                              .orthogonality = 0.3};
      allocator.emplace(oracle.layout, budget, all_steps);
    }
    test::Trajectory trajectory;
    for (int64_t step = 0; step < steps; ++step) {
      std::vector<Sequence> chosen;
      for (int64_t i = 0; i < order.size(1); ++i) chosen.push_back(sequences[order[step][i].item<int32_t>()]);
      const ObjectiveValue loss = oracle.loss(model, chosen);
      loss.total.backward();
      const torch::Tensor row = bank->values[0], gradient = bank->gradients[0];
      double sum = loss.job_losses()[0];
      if (allocator) sum += allocator->add_penalty_(row, gradient);
      const torch::Tensor kept = gradient.clone();
      const RateSegment rate{0, numbers, learning_rate};
      const double norm = adamw_step_(rows, 0, step + 1, std::span(&rate, 1), AdamWConfig{});
      if (allocator) allocator->prune_(row, kept * clip_factor(norm, 1.0), memory, step + 1);
      trajectory.add(sum, losses[step].item<double>(), row.narrow(0, 0, numbers), oracle.our_order(expected[step]));
    }
    last = bank->values[0].narrow(0, 0, numbers);
    return trajectory;
  };
  // Where PEFT holds float32 factors of an SVD, its float64 run starts from their rounding.
  const test::Trajectory exactly = run(torch::kFloat64, 2e-3, all_steps);
  EXPECT_LE(exactly.worst_loss(), 1e-5);
  EXPECT_LE(exactly.worst_row(), 1e-5);
  if (oracle.method == "adalora") {
    int64_t left = 0;
    for (const Site& site : oracle.layout.sites) {
      const LayoutSegment& d = *oracle.layout.find(site.name + ".d");
      left += last.narrow(0, d.offset, d.numel()).count_nonzero().item<int64_t>();
    }
    EXPECT_EQ(left, 2 * static_cast<int64_t>(oracle.layout.sites.size()));
  }
  const torch::Tensor loss_spread = oracle.tensor("loss_spread"), row_spread = oracle.tensor("rows_spread");
  const int64_t steps = loss_spread.size(0);
  EXPECT_TRUE(run(torch::kFloat32, 2e-3, steps).is_as_near_as(loss_spread, row_spread));
  EXPECT_FALSE(run(torch::kFloat32, 2.1e-3, steps).is_as_near_as(loss_spread, row_spread));  // control
}

TEST_P(MethodTest, MergedEqualsAdaptedAndTheFileComesBack) {
  const auto bank = oracle.bank(torch::kFloat32);
  AdaptedModel adapted = oracle.adapted(bank, torch::kFloat32);
  const torch::Tensor expected = oracle.logits(adapted);
  const auto head = std::make_shared<Bank>(head_of(*bank, 0));
  const BaseModel merged = merge_model(oracle.model, *oracle.basis, *bank, 0);
  AdaptedModel plain(merged, oracle.basis, AdapterSet::of_bank(head), torch::kFloat32);
  EXPECT_LE(test::largest_error(oracle.logits(plain), expected), 1e-5);
  AdaptedModel base(oracle.model, oracle.basis, AdapterSet::of_bank(head), torch::kFloat32);
  EXPECT_GT(test::largest_error(oracle.logits(base), expected), 1e-2);  // control
  const test::TemporaryFolder folder;
  write_adapter(folder / "a.safetensors", *bank, 0, oracle.model, *oracle.basis, {});
  const AdapterFile file = read_adapter(folder / "a.safetensors");
  const Layout layout = resolve_layout(file, oracle.model);
  EXPECT_TRUE(layout == oracle.layout);
  EXPECT_TRUE(open_adapter(file, layout, *oracle.basis).values.equal(bank->values));
  if (oracle.method == "full") {
    EXPECT_ERROR(merge_model(oracle.model, *oracle.basis, *bank, 0, -1), "weights take the base's place");
    return;
  }
  const BaseModel back = merge_model(merged, *oracle.basis, *bank, 0, -1);
  for (const Site& site : oracle.layout.sites) {
    EXPECT_TRUE(test::close(back.site_weight(site), oracle.model.site_weight(site), 1e-5)) << site.name;
  }
}

/// For tests/oracles/check_methods.py.
TEST_P(MethodTest, WritesAPeftFolder) {
  const std::filesystem::path out = test::oracle_folder() / "methods" / "exports" / GetParam();
  std::filesystem::remove_all(out);
  std::filesystem::create_directories(out.parent_path());
  const auto bank = oracle.bank(torch::kFloat32);
  if (oracle.method == "full") {
    EXPECT_ERROR(export_peft(out, oracle.model, *oracle.basis, *bank, 0), "write a model with loraxs merge");
    return;
  }
  export_peft(out, oracle.model, *oracle.basis, *bank, 0);
}

TEST_P(MethodTest, EightJobsInOneBankEqualEachAloneBitForBit) {
  constexpr int64_t kJobs = 8, kSteps = 6;
  // Steps multiply the rounding that rows owe to their company: where there is any, float64 says more.
  const bool bits = row_invariant(torch::kFloat32);
  const auto dtype = bits ? torch::kFloat32 : torch::kFloat64;
  const std::vector<Sequence> examples = oracle.sequences();
  const auto train = [&](const std::vector<int64_t>& jobs) {
    auto bank =
        std::make_shared<Bank>(make_bank(oracle.layout, oracle.recipe.alpha, static_cast<int64_t>(jobs.size()), dtype));
    for (size_t j = 0; j < jobs.size(); ++j) {
      const MethodStart start{.job_seed = static_cast<uint64_t>(100 + jobs[j]),
                              .alpha = oracle.recipe.alpha,
                              .basis = oracle.basis.get(),
                              .model = &oracle.model};
      initialize_row(*bank, static_cast<int64_t>(j), start, /*head_std=*/0.3, {});
    }
    bank->gradients = torch::zeros_like(bank->values);
    AdaptedModel model = oracle.adapted(bank, dtype);
    const OptimizerRows rows{bank->values, bank->gradients, torch::zeros_like(bank->values),
                             torch::zeros_like(bank->values)};
    for (int64_t step = 0; step < kSteps; ++step) {
      std::vector<Sequence> batch;
      for (size_t j = 0; j < jobs.size(); ++j) {
        std::vector<Sequence> own;
        for (int64_t i = 0; i < 3; ++i) own.push_back(examples[(jobs[j] + step + 2 * i) % examples.size()]);
        for (Sequence& sequence : own) sequence.slot = static_cast<int64_t>(j);
        weigh_step(own);
        batch.insert(batch.end(), own.begin(), own.end());
      }
      const PackedBatch packed = pack(batch);
      (oracle.decoder() ? language_objective(model, packed) : objective(model.logits(packed, true), packed))
          .total.backward();
      const RateSegment rate{0, oracle.layout.row_size, 1e-2};
      for (size_t j = 0; j < jobs.size(); ++j) {
        adamw_step_(rows, static_cast<int64_t>(j), step + 1, std::span(&rate, 1), AdamWConfig{});
      }
    }
    return bank->values;
  };
  std::vector<int64_t> all(kJobs);
  for (int64_t j = 0; j < kJobs; ++j) all[j] = j;
  const torch::Tensor together = train(all);
  for (const int64_t j : {0, 3, 7}) {
    const torch::Tensor alone = train({j})[0];
    if (bits) {
      EXPECT_TRUE(alone.equal(together[j])) << j << ": " << test::relative_error(alone, together[j]);
    } else {
      EXPECT_TRUE(test::close(alone, together[j], 1e-9)) << j;
    }
    EXPECT_FALSE(alone.equal(together[(j + 2) % kJobs]));  // control
  }
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const char* family : {"tiny_all_linear", "tiny_llama"}) {
    for (const char* method : {"lora", "rslora", "pissa", "vera", "adalora", "tiny_lora", "tied_lora", "full"}) {
      names.push_back(concat(family, "_", method));
    }
  }
  return names;
}
INSTANTIATE_TEST_SUITE_P(Methods, MethodTest, testing::ValuesIn(cases()), [](const auto& info) { return info.param; });

TEST(MethodStartTest, PissaStartsAtTheBaseWithPeftsProduct) {
  const MethodCase oracle("tiny_all_linear_pissa");
  const Basis basis =
      compute_basis(oracle.layout.sites, [&](const Site& site) { return oracle.model.site_weight(site); }, "",
                    {.rank = oracle.recipe.rank}, {});
  auto bank = std::make_shared<Bank>(make_bank(oracle.layout, oracle.recipe.alpha, 1));
  initialize_row(*bank, 0, {.alpha = oracle.recipe.alpha, .basis = &basis}, 0.0, {});
  for (const Site& site : oracle.layout.sites) {
    const SiteAdapter adapter = bind_site(*bank, 0, site, &basis);
    const torch::Tensor product = site_update(adapter, {}, {}, torch::kFloat32);
    const SiteBasis& theirs = oracle.basis->at(site.name);
    EXPECT_TRUE(test::close(product, theirs.b.matmul(theirs.a), 1e-5)) << site.name;
    EXPECT_TRUE(test::close(adapter.a.value.abs(), theirs.a.abs() / adapter.scale, 1e-4)) << site.name;  // up to signs
    EXPECT_TRUE(test::close(merged_weight(oracle.model.site_weight(site), *bank, 0, site, basis),
                            oracle.model.site_weight(site), 1e-6));
  }
}

TEST(MethodStartTest, LoraStartsAtTheBaseAndFromTheSvdNearIt) {
  const MethodCase oracle("tiny_all_linear_lora");
  MethodRecipe recipe = oracle.recipe;
  const Basis basis =
      compute_basis(oracle.layout.sites, [&](const Site& site) { return oracle.model.site_weight(site); }, "",
                    {.rank = recipe.rank}, {});
  for (const std::string init : {"default", "gaussian", "svd"}) {
    auto bank = std::make_shared<Bank>(make_bank(oracle.layout, recipe.alpha, 1));
    initialize_row(*bank, 0, {.job_seed = 5, .init_std = 1e-5, .init = init, .basis = &basis}, 0.0, {});
    for (const Site& site : oracle.layout.sites) {
      const SiteAdapter adapter = bind_site(*bank, 0, site, nullptr);
      const double largest = adapter.a.value.abs().max().item<double>();
      const double in_features = static_cast<double>(site.in_features), rank = static_cast<double>(recipe.rank);
      if (init == "default") {
        EXPECT_LE(largest, 1 / std::sqrt(in_features));
        EXPECT_GT(largest, 0.9 / std::sqrt(in_features));
      } else {
        const double expected = init == "svd" ? 1e-5 : 1 / rank;
        EXPECT_NEAR(adapter.a.value.to(torch::kFloat64).std().item<double>() / expected, 1, 0.25) << init;
      }
      if (init == "svd") {
        EXPECT_TRUE(adapter.b.value.equal(basis.at(site.name).b));
      } else {
        EXPECT_EQ(adapter.b.value.abs().max().item<double>(), 0);
      }
    }
  }
}

TEST(MethodLayoutTest, RanksAndKeysAreChecked) {
  const MethodCase oracle("tiny_all_linear_lora");
  const auto layout = [&](const std::string& name, int64_t rank) {
    MethodRecipe recipe = oracle.recipe;
    recipe.name = name;
    recipe.rank = rank;
    return recipe_layout(recipe, {}, oracle.model, "r.yaml");
  };
  EXPECT_ERROR(layout("pissa", 0), "r.yaml: method.rank: expected 1 to 48");
  EXPECT_ERROR(layout("pissa", 49), "method.rank: expected 1 to 48");
  EXPECT_ERROR(layout("lora", 0), "method.rank: expected 1 to 1048576 (layers.0.query), found 0");
  EXPECT_EQ(layout("lora", 49).largest_rank(), 49);  // PEFT trains such LoRAs too
  EXPECT_ERROR(layout("vera", 0), "method.rank: expected 1 to 1048576");
  EXPECT_EQ(layout("vera", 256).rank_of("layers.0.query"), 256);
  EXPECT_ERROR(layout("lora_x", 4), "expected one of lora_xs, lora");
  const auto parse = [](nlohmann::json method) {
    return parse_recipe({{"model", "m"}, {"task", {{"name", "x"}}}, {"output", "o"}, {"method", method}}, "r.yaml");
  };
  EXPECT_ERROR(parse({{"name", "lorra"}}), "did you mean lora?");
  EXPECT_ERROR(parse({{"name", "full"}, {"rank", 8}}),
               "method.rank: expected no such key for full, found 8; it belongs");
  EXPECT_ERROR(parse({{"name", "lora"}, {"vectors", 8}}), "it belongs to tiny_lora");
  EXPECT_ERROR(parse({{"name", "lora"}, {"adalora", {{"target_rank", 2}}}}), "it belongs to adalora");
  EXPECT_ERROR(parse({{"name", "adalora"}, {"rank", 4}}), "adalora.target_rank: expected at most method.rank");
  EXPECT_ERROR(parse({{"name", "lora"}, {"rank", 0}}), "method.rank");
  EXPECT_NO_THROW(parse({{"name", "lora"}, {"rank", 8}, {"rslora", true}}));
  for (const std::string& name : method_names()) {  // the resolved recipe of a run reads again
    SCOPED_TRACE(name);
    const Recipe recipe = parse({{"name", name}});
    EXPECT_NO_THROW(parse_recipe(recipe.to_json(), "resolved"));
  }
}

// PEFT draws other masks: what both have in common are the mean and the variance of outputs over many of them.
TEST(AdapterDropoutTest, MeanAndVarianceArePefts) {
  const Safetensors file = read_safetensors(test::oracle_folder() / "methods" / "dropout.safetensors");
  const auto tensor = [&](const char* name) { return view_tensor(file.at(name)).clone(); };
  const double p = std::stod(file.metadata.at("p")), scale = std::stod(file.metadata.at("scale"));
  const torch::Tensor x = tensor("x"), a = tensor("a"), b = tensor("b");
  const SiteParts parts{.a = {.offset = 0, .shape = a.sizes().vec()},
                        .b = {.offset = a.numel(), .shape = b.sizes().vec()},
                        .rank = a.size(0),
                        .divisor = 1};
  const AdapterRow row{.values = torch::cat({a.flatten(), b.flatten()}), .alpha = scale};
  const auto adapters = [&](int64_t rows) { return test::segments({test::segment(0, rows, row, {parts})}); };
  const JoinedProjection projection{.weight = FrozenWeight::packed(tensor("weight"), /*both_ways=*/false),
                                    .bias = tensor("bias"),
                                    .out_features = b.size(0),
                                    .sites = {{.out_features = b.size(0),
                                               .u_column = b.size(0),
                                               .dropout = Dropout::of_adapter(p, /*layer=*/0, /*module=*/0)}}};
  constexpr int64_t kDraws = 20'000;
  const torch::Tensor rows = x.repeat({kDraws, 1});  // one call: each row of it has a key of its own
  const RowKeys keys = {torch::arange(rows.size(0), torch::kInt64) * 977 + 5,
                        torch::zeros({rows.size(0)}, torch::kInt32)};
  const torch::Tensor found = adapted_linear(rows, {}, projection, adapters(rows.size(0)), {}, keys)
                                  .view({kDraws, x.size(0), b.size(0)})
                                  .to(torch::kFloat64);
  const torch::Tensor variance = tensor("variance");
  const torch::Tensor error = (variance * (1.0 / kDraws + 1 / std::stod(file.metadata.at("draws")))).sqrt();
  const torch::Tensor off = (found.mean(0) - tensor("mean")).abs();
  EXPECT_TRUE((off < 5 * error).all().item<bool>()) << (off / error).max();
  EXPECT_TRUE(torch::allclose(found.var(0), variance, /*rtol=*/0.05, /*atol=*/0));
  const torch::Tensor plain = adapted_linear(x, {}, projection, adapters(x.size(0)));
  EXPECT_TRUE(((plain - tensor("mean")).abs() < 5 * (variance / std::stod(file.metadata.at("draws"))).sqrt())
                  .all()
                  .item<bool>());
  EXPECT_FALSE(torch::allclose(found.var(0) * 1.2, variance, 0.05, 0));  // control
}

}  // namespace
}  // namespace loraxs
