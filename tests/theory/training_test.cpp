// Training R against the full gradient (paper, section 3.2): what a step on R does to the weight, in float64.
#include <gtest/gtest.h>

#include "adapt/adapted_model.h"
#include "adapt/head_tensors.h"
#include "adapt/merge.h"
#include "adapt/subspace.h"
#include "adapt/svd.h"
#include "ops/adapted_linear.h"
#include "support/close.h"
#include "support/oracle.h"
#include "support/random_tensor.h"
#include "support/segments.h"
#include "support/weight_gradients.h"
#include "train/gradient_start.h"
#include "train/objective.h"
#include "train/task_gradient.h"

namespace loraxs {
namespace {

using test::OracleCase;

/// One adapted projection with a loss that is not linear in its weight.
struct OneLayer {
  static constexpr int64_t kOut = 18, kIn = 26, kRank = 4, kTokens = 11;
  torch::Tensor weight = test::normal64({kOut, kIn}, 1), x = test::normal64({kTokens, kIn}, 2),
                c = test::normal64({kTokens, kOut}, 3);
  torch::Tensor sigma, bank = 0.3 * test::normal64({1, kRank*kRank}, 4),
                       gradients = torch::zeros({1, kRank*kRank}, torch::kFloat64);
  SiteBasis basis;
  double scale;

  OneLayer(bool with_sigma, double scale_) : scale(scale_) {
    const SingularTriples triples = leading_triples(weight, kRank);
    sigma = triples.s;
    basis = {.a = (with_sigma ? triples.v.t() * triples.s.unsqueeze(1) : triples.v.t()).contiguous(),
             .b = triples.u.contiguous()};
  }

  torch::Tensor r() const { return bank.view({kRank, kRank}); }
  torch::Tensor merged() const { return weight + scale * basis.b.matmul(r()).matmul(basis.a); }
  torch::Tensor loss(const torch::Tensor& y) const { return ((0.3 * y).sin() * c).sum(); }

  /// G of the adapted weight by autograd, and dR by the fused projection.
  torch::Tensor full_gradient() const {
    const torch::Tensor w = merged().requires_grad_(true);
    loss(x.matmul(w.t())).backward();
    return w.grad();
  }
  torch::Tensor r_gradient() {
    gradients.zero_();
    JoinedProjection projection{.weight = FrozenWeight::packed(torch::cat({weight, basis.a}), /*both_ways=*/true),
                                .bias = torch::zeros({kOut + kRank}, torch::kFloat64),
                                .out_features = kOut,
                                .sites = {{.column = 0,
                                           .out_features = kOut,
                                           .u_column = kOut,
                                           .rank = kRank,
                                           .b = basis.b,
                                           .b_transposed = basis.b.t().contiguous()}}};
    const SiteParts parts{.r = {.offset = 0, .shape = {kRank, kRank}}, .rank = kRank, .divisor = 1};
    const torch::Tensor anchor = torch::zeros({}, torch::kFloat64).requires_grad_(true);
    const AdapterRow row{.values = bank[0], .gradients = gradients[0], .alpha = scale};
    const torch::Tensor y =
        adapted_linear(x, anchor, projection, test::segments({test::segment(0, kTokens, row, {parts})}));
    loss(y.narrow(1, 0, kOut)).backward();
    return gradients.view({kRank, kRank});
  }
};

constexpr double kRate = 1e-2;

TEST(TrainingTest, T11WithoutSigmaAStepOnRIsAProjectedStepOfTheWeight) {
  for (const double scale : {1.0, 0.7}) {
    OneLayer layer(/*with_sigma=*/false, scale);
    for (int step = 0; step < 5; ++step) {
      const torch::Tensor before = layer.merged(), gradient = layer.full_gradient();
      layer.r().sub_(kRate * layer.r_gradient());
      const torch::Tensor change = layer.merged() - before;
      EXPECT_TRUE(test::close(change, -kRate * scale * scale * project_on(layer.basis, gradient), 1e-12)) << step;
      EXPECT_FALSE(test::close(change, -kRate * scale * scale * gradient, 0.1));  // control: not the full step
    }
  }
}

TEST(TrainingTest, T12WithSigmaTheStepIsPreconditionedBySigmaSquared) {
  OneLayer layer(/*with_sigma=*/true, 0.7);
  const OneLayer plain(/*with_sigma=*/false, 0.7);
  for (int step = 0; step < 5; ++step) {
    const torch::Tensor before = layer.merged(), gradient = layer.full_gradient();
    layer.r().sub_(kRate * layer.r_gradient());
    const torch::Tensor change = layer.merged() - before;
    const torch::Tensor inside = plain.basis.b.t().matmul(gradient).matmul(plain.basis.a.t());  // [rank, rank]
    const torch::Tensor expected =
        -kRate * 0.49 * plain.basis.b.matmul(inside * layer.sigma.square()).matmul(plain.basis.a);
    EXPECT_TRUE(test::close(change, expected, 1e-12)) << step;
    EXPECT_FALSE(test::close(change, -kRate * 0.49 * project_on(layer.basis, gradient), 0.1));  // control
  }
  // The same as training R' = R Σ on the plain basis with the gradient's columns times σ².
  OneLayer with(/*with_sigma=*/true, 0.7), without(/*with_sigma=*/false, 0.7);
  without.r().copy_(with.r() * with.sigma);
  for (int step = 0; step < 5; ++step) {
    with.r().sub_(kRate * with.r_gradient());
    without.r().sub_(kRate * without.r_gradient() * with.sigma.square());
    EXPECT_TRUE(test::close(without.r(), with.r() * with.sigma, 1e-12)) << step;
  }
}

EncodedExamples examples_of(const std::vector<Sequence>& sequences) {
  EncodedExamples examples;
  for (const Sequence& sequence : sequences) {
    examples.encodings.push_back({.input_ids = sequence.input_ids, .token_type_ids = sequence.token_type_ids});
    examples.targets.push_back(sequence.target);
  }
  return examples;
}

TEST(TrainingTest, T14GradientsOfREqualTheProjectedFullGradientsOfAWholeModel) {
  const OracleCase oracle("tiny_all_linear");
  std::vector<Sequence> sequences = oracle.sequences();
  weigh_step(sequences);
  const PackedBatch batch = pack(sequences);
  const auto bank = oracle.bank(torch::kFloat64);
  AdaptedModel adapted = oracle.adapted(bank, torch::kFloat64);
  objective(adapted.logits(batch, true), batch).total.backward();

  // The same weights merged, and autograd down to every one of them.
  BaseModel model = oracle.model;
  model.config.disable_dropout();
  for (const Site& site : bank->layout->sites) {
    model.replace(site.name + ".weight", model.site_weight(site).to(torch::kFloat64));
  }
  const BaseModel merged = merge_model(model, *oracle.basis, *bank, 0);
  const std::unique_ptr<Backbone> backbone = make_backbone(merged, torch::kFloat64, torch::kCPU);
  const auto hook = std::make_shared<test::WeightGradients>(merged, backbone->groups(), torch::kFloat64);
  const test::WeightGradients& weights = *hook;
  const ClassificationHead head(merged, torch::kFloat64, torch::kCPU);
  const BatchTensors tensors = make_batch_tensors(batch, torch::kCPU);
  const auto head_row = [&](const std::string& name) {
    const LayoutSegment* segment = bank->layout->find(name);
    return segment == nullptr ? RowTensor{}
                              : RowTensor(bank->row(0), {.offset = segment->offset, .shape = segment->shape});
  };
  const HeadSegment all{.begin = 0,
                        .end = batch.num_sequences(),
                        .dense_weight = head_row("head.dense.weight"),
                        .dense_bias = head_row("head.dense.bias"),
                        .classifier_weight = head_row("head.classifier.weight"),
                        .classifier_bias = head_row("head.classifier.bias")};
  const torch::Tensor first = backbone->forward(tensors, hook, /*training=*/true, nullptr);
  const torch::Tensor logits =
      head.forward(first, {}, {all}, bank->layout->head.outputs, tensors.asked_keys, /*training=*/true);
  const HeadRun run{.begin = 0, .end = batch.num_sequences(), .outputs = bank->layout->head.outputs};
  objective({.values = logits, .runs = {run}}, batch).total.backward();

  for (const Site& site : bank->layout->sites) {
    const LayoutSegment& segment = *bank->layout->find(site.name + ".r");
    const torch::Tensor found = bank->gradients[0].narrow(0, segment.offset, segment.numel()).view(segment.shape);
    const SiteBasis& pair = oracle.basis->at(site.name);
    const torch::Tensor gradient = weights.gradient(site.name), a = pair.a.to(torch::kFloat64),
                        b = pair.b.to(torch::kFloat64);
    const double scale = bank->alpha(0) / static_cast<double>(segment.shape[0]);
    const torch::Tensor expected = scale * b.t().matmul(gradient).matmul(a.t());
    EXPECT_TRUE(test::close(found, expected, 1e-9)) << site.name;
    EXPECT_FALSE(test::close(found.t(), expected, 1e-2)) << site.name;  // control
  }

  // What the energy study measures is the same gradient, by way of full fine-tuning in float32.
  const TaskGradient measured = task_gradient(merged, *bank, examples_of(sequences));
  for (const Site& site : bank->layout->sites) {
    EXPECT_TRUE(test::close(measured.weights.at(site.name), weights.gradient(site.name), 1e-5)) << site.name;
  }
}

/// LoRA-SB: b R a is the best approximation of −sign(G) at its rank, and a small step along it lowers the loss.
TEST(TrainingTest, AStartFromTheGradientIsTheBestStepOfItsRank) {
  const OracleCase oracle("tiny_all_linear");
  std::vector<Sequence> sequences = oracle.sequences();
  weigh_step(sequences);
  const auto given = oracle.bank(torch::kFloat32);
  const HeadLayout& head = given->layout->head;
  BaseModel model = oracle.model;
  model.config.disable_dropout();
  const TaskGradient gradient = task_gradient(model, *given, examples_of(sequences));

  constexpr double kAlpha = 7;
  std::vector<int64_t> ranks(given->layout->sites.size(), 3);
  ranks[1] = 2;  // a prefix of the basis
  const Layout layout = make_layout("lora_sb", given->layout->sites, ranks, head, model.config.hidden_size, "test");
  const GradientStart start = gradient_start(gradient, layout, kAlpha, model.base_id);
  Bank bank = make_bank(layout, kAlpha, 1);
  bank.values[0].narrow(0, 0, layout.adapter_numbers).copy_(start.row);
  for (size_t i = 0; i < ranks.size(); ++i) {
    const Site& site = layout.sites[i];
    const torch::Tensor step = -gradient.weights.at(site.name).sign().to(torch::kFloat64);
    const torch::Tensor r = segment_value(bank, 0, *layout.find(site.name + ".r")).to(torch::kFloat64);
    const SiteBasis& pair = start.basis.at(site.name);
    const torch::Tensor b = pair.b.narrow(1, 0, ranks[i]).to(torch::kFloat64),
                        a = pair.a.narrow(0, 0, ranks[i]).to(torch::kFloat64);
    const double scale = kAlpha / static_cast<double>(ranks[i]);
    const double left = (step - scale * b.matmul(r).matmul(a)).square().sum().item<double>();
    const torch::Tensor sigma = at::linalg_svdvals(step);
    const double expected = sigma.narrow(0, ranks[i], sigma.size(0) - ranks[i]).square().sum().item<double>();
    EXPECT_NEAR(left / expected, 1, 1e-5) << site.name;
    EXPECT_LT(expected, step.square().sum().item<double>()) << site.name;  // control: it caught something
  }

  const int64_t head_numbers = layout.row_size - layout.adapter_numbers;
  const auto loss_at = [&](double size) {
    auto moved = std::make_shared<Bank>(make_bank(layout, kAlpha, 1));
    moved->values[0].narrow(0, 0, layout.adapter_numbers).copy_(start.row * size);
    moved->values[0]
        .narrow(0, layout.adapter_numbers, head_numbers)
        .copy_(given->values[0].narrow(0, given->layout->adapter_numbers, head_numbers));
    AdaptedModel adapted(model, std::make_shared<Basis>(start.basis), AdapterSet::of_bank(moved), torch::kFloat32);
    const PackedBatch batch = pack(sequences);
    torch::NoGradGuard no_grad;
    return objective(adapted.logits(batch, false), batch).total.item<double>();
  };
  EXPECT_NEAR(loss_at(0), gradient.loss, 1e-5 * gradient.loss);
  EXPECT_LT(loss_at(1e-3), loss_at(0));
  EXPECT_GT(loss_at(-1e-3), loss_at(0));
}

}  // namespace
}  // namespace loraxs
