#include "adapt/prepared_model.h"

#include <algorithm>

#include "io/error.h"
#include "ops/frozen_gemm.h"

namespace loraxs {
namespace {

/// Whether rows of answers meet weights of their own, beside those packed for the GEMM. Not where training follows, nor
/// where the CPU multiplies bfloat16 by instructions of its own, which no loop over widened numbers keeps up with.
bool answers_apart(const BaseModel& model, const PrepareOptions& options) {
  if (model.architecture->kind != ModelKind::kDecoder || options.both_ways || !options.device.is_cpu()) return false;
  return options.dtype == torch::kFloat32 ||
         (options.dtype == torch::kBFloat16 && gemm_backend(options.dtype) == GemmBackend::kAten);
}

/// Joins a group's projections with the rows of a that its reserved sites read.
class Joining {
 public:
  Joining(const BaseModel& model, const ProjectionGroup& group, const Basis* basis, const Reservation& reservation,
          const PrepareOptions& options)
      : model_(model),
        group_(group),
        basis_(basis),
        reservation_(reservation),
        options_(options),
        dense_(torch::TensorOptions().dtype(options.dtype).device(options.device)) {}

  /// Whether every slot brings all weights of the group itself, and no row without a slot will come.
  bool own() const {
    return std::all_of(group_.sites.begin(), group_.sites.end(),
                       [&](const Site& site) { return reservation_.owned.contains(site.name); });
  }

  std::vector<Site> reserved() const {
    std::vector<Site> sites;
    for (const Site& site : group_.sites) {
      if (reservation_.ranks.contains(site.name)) sites.push_back(site);
    }
    return sites;
  }

  JoinedProjection join() const {
    JoinedProjection projection{.out_features = group_.out_features};
    int64_t width = group_.out_features;
    for (size_t i = 0; i < group_.sites.size(); ++i) {
      if (!reservation_.ranks.contains(group_.sites[i].name)) continue;
      projection.sites.push_back(join_site(i, width));
      width += projection.sites.back().rank;
    }
    if (own()) return projection;
    projection.weight = frozen();
    projection.bias = bias(width);
    return projection;
  }

  /// [W₁; W₂; …; a₁; …].
  torch::Tensor dense_rows() const {
    std::vector<torch::Tensor> rows;
    rows.reserve(group_.sites.size() + 1);
    for (const Site& site : group_.sites) rows.push_back(base_weight(site));
    if (const torch::Tensor a = basis_rows(); a.defined()) rows.push_back(a);
    return torch::cat(rows);
  }

 private:
  /// W as adapters meet it.
  torch::Tensor base_weight(const Site& site) const {
    const torch::Tensor weight = model_.site_weight(site);
    const auto lost = reservation_.residual.find(site.name);
    if (lost == reservation_.residual.end()) return weight.to(dense_);
    const auto type = options_.dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    return (weight.to(type) - residual_loss(basis_->at(site.name), lost->second, type)).to(dense_);
  }

  FrozenWeight frozen() const {
    switch (options_.memory) {
      case WeightMemory::kTight:
        return FrozenWeight::stored(stored(), basis_rows(), options_.dtype);
      case WeightMemory::kInt8:
        return FrozenWeight::integers(stored(), basis_rows());
      case WeightMemory::kNormal:
        break;
    }
    FrozenWeight packed = FrozenWeight::packed(dense_rows(), options_.both_ways);
    if (answers_apart(model_, options_)) packed.add_answers(answer_weights(), basis_rows());
    return packed;
  }

  /// What rows of answers meet: the file's own bytes where these are the numbers to be computed with.
  std::vector<BlockTensor> answer_weights() const {
    std::vector<BlockTensor> parts = stored();
    for (size_t i = 0; i < parts.size(); ++i) {
      const Site& site = group_.sites[i];
      const bool rounded = options_.dtype == torch::kBFloat16 && parts[i].type == BlockType::kF32;
      if (rounded || reservation_.residual.contains(site.name)) parts[i] = block_view(base_weight(site).contiguous());
    }
    return parts;
  }

  std::vector<BlockTensor> stored() const {
    std::vector<BlockTensor> parts;
    parts.reserve(group_.sites.size());
    for (const Site& site : group_.sites) parts.push_back(model_.stored(site.name + ".weight"));
    return parts;
  }

  int64_t rank_of(const Site& site) const {
    const auto reserved = reservation_.ranks.find(site.name);
    return reserved == reservation_.ranks.end() ? 0 : reserved->second;
  }

  /// Undefined where no adapter reads the basis.
  torch::Tensor basis_rows() const {
    std::vector<torch::Tensor> rows;
    for (const Site& site : group_.sites) {
      if (const int64_t rank = rank_of(site); rank > 0)
        rows.push_back(basis_->at(site.name).a.narrow(0, 0, rank).to(dense_));
    }
    return rows.empty() ? torch::Tensor() : torch::cat(rows);
  }

  /// Undefined where no site has one.
  torch::Tensor bias(int64_t width) const {
    std::vector<torch::Tensor> parts;
    bool any = false;
    for (const Site& site : group_.sites) {
      const bool has = model_.has(site.name + ".bias");
      any = any || has;
      parts.push_back(has ? model_.weight(site.name + ".bias").to(dense_) : torch::zeros({site.out_features}, dense_));
    }
    if (!any) return {};
    parts.push_back(torch::zeros({width - group_.out_features}, dense_));
    return torch::cat(parts);
  }

  JoinedSite join_site(size_t index, int64_t u_column) const {
    const Site& site = group_.sites[index];
    const int64_t rank = rank_of(site);
    JoinedSite joined{
        .column = group_.columns[index], .out_features = site.out_features, .u_column = u_column, .rank = rank};
    if (reservation_.dropout > 0) {
      const std::vector<std::string>& modules = model_.architecture->modules;
      const auto module = std::find(modules.begin(), modules.end(), site.module) - modules.begin();
      joined.dropout = Dropout::of_adapter(reservation_.dropout, site.layer, module);
    }
    if (rank == 0) return joined;
    TORCH_CHECK(basis_ != nullptr, "PreparedModel: adapters without a basis");
    const SiteBasis& pair = basis_->at(site.name);
    TORCH_CHECK(pair.a.size(0) >= rank && pair.a.size(1) == site.in_features && pair.b.size(0) == site.out_features,
                "PreparedModel: basis of ", site.name, " is ", pair.a.sizes(), ", adapters want rank ", rank);
    TORCH_CHECK(basis_->recipe.nested() || pair.a.size(0) == rank, "PreparedModel: basis is not nested");
    const auto row_options = dense_.dtype(options_.dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32);
    const torch::Tensor b = pair.b.narrow(1, 0, rank);
    if (options_.memory == WeightMemory::kInt8) {
      joined.b_transposed = b.to(dense_.dtype(torch::kBFloat16)).t().contiguous();
    } else {
      joined.b = b.to(row_options).contiguous();
      joined.b_transposed = joined.b.t().contiguous();
    }
    if (joined.dropout.active()) joined.a = pair.a.narrow(0, 0, rank).to(row_options).contiguous();
    return joined;
  }

  const BaseModel& model_;
  const ProjectionGroup& group_;
  const Basis* basis_;
  const Reservation& reservation_;
  const PrepareOptions& options_;
  torch::TensorOptions dense_;
};

}  // namespace

void PreparedModel::check(const Reservation& reservation, const PrepareOptions& options) {
  if (options.memory == WeightMemory::kNormal || reservation.residual.empty()) return;
  throw Error(
      concat("a method that takes a part off the base's weights: expected memory normal and precision auto, float32 or "
             "bfloat16, found ",
             options.memory == WeightMemory::kTight ? "memory tight" : "precision int8"));
}

PreparedModel::PreparedModel(const BaseModel& model, std::shared_ptr<const Basis> basis, Reservation reservation,
                             const PrepareOptions& options)
    : config_(model.config),
      basis_(std::move(basis)),
      reservation_(std::move(reservation)),
      options_(options),
      backbone_(make_backbone(model, options.dtype, options.device)) {
  torch::NoGradGuard no_grad;
  check(reservation_, options);
  const bool tight = options.memory == WeightMemory::kTight;
  TORCH_CHECK(options.memory != WeightMemory::kInt8 ||
                  (options.dtype == torch::kFloat32 && options.device.is_cpu() && !options.both_ways),
              "PreparedModel: small integers are multiplied forward, on the CPU, with float32 beside them");
  for (const ProjectionGroup& group : backbone_->groups()) {
    const Joining joining(model, group, basis_.get(), reservation_, options_);
    projections_.push_back(joining.join());
    projections_.back().group = sites_.size();
    sites_.push_back(joining.reserved());
    if (!tight) model.release_pages();
  }
  if (reservation_.head) head_ = std::make_unique<ClassificationHead>(model, options.dtype, options.device);
  if (model.architecture->kind == ModelKind::kDecoder) {
    language_head_ = std::make_unique<LanguageHead>(model, options.dtype, options.device, options.both_ways,
                                                    options.memory, answers_apart(model, options));
  }
  if (!tight) model.release_pages();
}

SlotTable PreparedModel::bind(const AdapterSet& adapters) const {
  SlotTable table{.slots = adapters.slots};
  table.banks.reserve(adapters.banks.size());
  for (const auto& bank : adapters.banks) table.banks.push_back(bind(bank, table));
  return table;
}

SlotTable::BoundBank PreparedModel::bind(const std::shared_ptr<Bank>& bank, const SlotTable& table) const {
  const auto known = std::find_if(table.banks.begin(), table.banks.end(),
                                  [&](const auto& bound) { return bound.bank->layout == bank->layout; });
  if (known != table.banks.end()) return {bank, known->binding};
  reservation_.check(*bank->layout);
  return {bank, bind_layout(bank->layout, sites_, basis_.get())};
}

void PreparedModel::prepare_backward(const BaseModel& model) {
  if (options_.both_ways) return;
  torch::NoGradGuard no_grad;
  options_.both_ways = true;
  for (size_t g = 0; g < projections_.size() && options_.memory == WeightMemory::kNormal; ++g) {
    const Joining joining(model, backbone_->groups()[g], basis_.get(), reservation_, options_);
    if (!joining.own()) projections_[g].weight.add_backward(joining.dense_rows());
  }
  if (language_head_) {
    language_head_ = std::make_unique<LanguageHead>(model, options_.dtype, options_.device, true, options_.memory);
  }
  model.release_pages();
}

}  // namespace loraxs
