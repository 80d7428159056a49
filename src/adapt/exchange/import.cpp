#include "adapt/exchange/import.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "adapt/head_tensors.h"
#include "adapt/subspace.h"
#include "io/error.h"

namespace loraxs {
namespace {

HeadLayout head_of(const PeftAdapter& adapter, const BaseModel& model, const std::vector<std::string>& labels) {
  const std::string where = adapter.folder.string();
  if (adapter.head.empty()) return {};
  const int64_t outputs = adapter.head.at("head.classifier.weight").size(0);
  if (outputs > 1 && static_cast<int64_t>(labels.size()) != outputs) {
    throw Error(concat(where, ": --labels: expected the names of ", outputs, " classes, found ", labels.size()));
  }
  return make_head(adapter.head_kind(*model.architecture), outputs, /*regression=*/outputs == 1, *model.architecture,
                   where);
}

std::vector<int64_t> ranks_of(const PeftAdapter& adapter) {
  std::vector<int64_t> ranks;
  ranks.reserve(adapter.modules.size());
  for (const PeftModule& module : adapter.modules) ranks.push_back(module.rank());
  return ranks;
}

/// A bank of one of `method` with the adapter's head; its sites are zero.
Bank empty_bank(const PeftAdapter& adapter, const BaseModel& model, const std::string& method,
                const std::vector<int64_t>& ranks, double alpha, const std::vector<std::string>& labels,
                const MethodOptions& options = {}) {
  Bank bank = make_bank(make_layout(method, adapter.sites(), ranks, head_of(adapter, model, labels),
                                    model.config.hidden_size, adapter.folder.string(), options),
                        alpha, 1);
  if (bank.layout->head.outputs > 1) bank.set_labels(0, labels);
  for (const LayoutSegment& segment : bank.layout->segments) {
    if (segment.head) segment_value(bank, 0, segment).copy_(adapter.head.at(segment.name));
  }
  return bank;
}

/// Columns orthonormal up to a factor each, which must be 1 where `unit`: to 1e-3, as randomized solvers give them.
bool is_orthogonal(const torch::Tensor& columns, bool unit) {
  const torch::Tensor sizes = columns.to(torch::kFloat64).norm(2, 0);
  if (unit && (sizes - 1).abs().max().item<double>() > 1e-3) return false;
  const torch::Tensor q = columns.to(torch::kFloat64) / sizes.clamp_min(1e-300);
  return (q.t().matmul(q) - torch::eye(q.size(1), torch::kFloat64)).abs().max().item<double>() <= 1e-3;
}

}  // namespace

ImportedCheckpoint import_checkpoint(const PeftAdapter& adapter, const BaseModel& model,
                                     const std::vector<std::string>& labels) {
  torch::NoGradGuard no_grad;
  const std::string where = adapter.folder.string();
  const PeftModule& first = adapter.modules.front();
  ImportedCheckpoint imported;
  bool singular = true;
  for (const PeftModule& module : adapter.modules) {
    if (!module.r.defined()) throw Error(concat(where, ": expected R beside A and B, found a plain LoRA"));
    if (module.rank() != first.rank() || module.scale != first.scale) {
      throw Error(concat(where, ": ", module.site.hf_name, ": expected rank ", first.rank(), " and scale ", first.scale,
                         " as in ", first.site.hf_name, ", found ", module.rank(), " and ", module.scale,
                         "; --rank N projects every module on the basis of rank N"));
    }
    singular = singular && is_orthogonal(module.b, /*unit=*/true) && is_orthogonal(module.a.t(), /*unit=*/false);
    imported.basis.sites[module.site.name] = {.a = module.a.contiguous(), .b = module.b.contiguous()};
    imported.basis.residuals[module.site.name] = 0;
  }
  imported.basis.base_id = model.base_id;
  imported.basis.recipe = {.rank = first.rank(), .variant = singular ? "imported_svd" : "imported_random"};
  imported.bank =
      empty_bank(adapter, model, "lora_xs", ranks_of(adapter), first.scale * static_cast<double>(first.rank()), labels);
  for (const PeftModule& module : adapter.modules) {
    segment_value(imported.bank, 0, *imported.bank.layout->find(module.site.name + ".r")).copy_(module.r);
  }
  return imported;
}

Bank import_lora(const PeftAdapter& adapter, const BaseModel& model, const std::vector<std::string>& labels) {
  torch::NoGradGuard no_grad;
  if (adapter.has_r()) throw Error(concat(adapter.folder.string(), ": expected a plain LoRA, found R beside A and B"));
  const MethodOptions options{.rslora = adapter.rslora};
  const double alpha = adapter.modules.front().alpha;
  Bank bank = empty_bank(adapter, model, "lora", ranks_of(adapter), alpha, labels, options);
  for (const PeftModule& module : adapter.modules) {
    const double factor = module.alpha / alpha;
    segment_value(bank, 0, *bank.layout->find(module.site.name + ".a")).copy_(module.a);
    segment_value(bank, 0, *bank.layout->find(module.site.name + ".b")).copy_(module.b * factor);
  }
  if (!bank.values.isfinite().all().item<bool>()) {
    throw Error(concat(adapter.folder.string(),
                       ": alpha_pattern: expected alphas that differ within float32, found one ",
                       "that makes lora_B infinite beside the ", alpha, " of ", adapter.modules.front().site.hf_name));
  }
  return bank;
}

const std::pair<std::string, double>& ProjectionLoss::worst() const {
  return *std::max_element(modules.begin(), modules.end(),
                           [](const auto& x, const auto& y) { return x.second < y.second; });
}

ProjectedAdapter import_projected(const PeftAdapter& adapter, const BaseModel& model, const Basis& basis,
                                  const std::vector<std::string>& labels) {
  torch::NoGradGuard no_grad;
  const int64_t rank = basis.recipe.rank;
  ProjectedAdapter projected{.bank = empty_bank(adapter, model, "lora_xs", std::vector(adapter.modules.size(), rank),
                                                static_cast<double>(rank), labels)};
  double lost = 0, whole = 0;
  for (const PeftModule& module : adapter.modules) {
    const SiteBasis& pair = basis.at(module.site.name);
    const torch::Tensor left = (module.r.defined() ? module.b.to(torch::kFloat64).matmul(module.r.to(torch::kFloat64))
                                                   : module.b.to(torch::kFloat64)) *
                               module.scale;
    const LowRank delta{.left = left, .right = module.a};
    const torch::Tensor r = nearest_r(pair, delta).to(torch::kFloat32);  // as it is stored
    segment_value(projected.bank, 0, *projected.bank.layout->find(module.site.name + ".r")).copy_(r);
    const double size = norm_of(delta);
    const double loss =
        relative_distance(delta, {.left = pair.b.to(torch::kFloat64).matmul(r.to(torch::kFloat64)), .right = pair.a});
    projected.loss.modules.emplace_back(module.site.name, loss);
    lost += loss * loss * size * size;
    whole += size * size;
  }
  projected.loss.whole = whole > 0 ? std::sqrt(lost / whole) : 0;
  return projected;
}

}  // namespace loraxs
