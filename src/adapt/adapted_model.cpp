#include "adapt/adapted_model.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "adapt/site_binding.h"
#include "io/error.h"

namespace loraxs {
namespace {

bool residual(const AdapterSet& adapters) {
  const auto is_residual = [](const auto& bank) {
    return !bank->layout.sites.empty() && find_method(bank->layout.method, "bank").traits.residual;
  };
  const bool any = std::any_of(adapters.banks.begin(), adapters.banks.end(), is_residual);
  TORCH_CHECK(!any || adapters.banks.size() == 1, "AdaptedModel: a residual base serves one bank");
  return any;
}

/// The one probability of all banks.
double adapter_dropout(const AdapterSet& adapters) {
  const double dropout = adapters.banks.empty() ? 0 : adapters.banks.front()->dropout;
  for (const auto& bank : adapters.banks) TORCH_CHECK(bank->dropout == dropout, "AdaptedModel: dropout differs");
  return dropout;
}

/// Whether every slot brings all weights of the group itself, and no row without a slot will come: in training.
bool brings_all(const ProjectionGroup& group, const AdapterSet& adapters) {
  if (!adapters.trains()) return false;
  return std::all_of(adapters.banks.begin(), adapters.banks.end(), [&](const auto& bank) {
    if (!find_method(bank->layout.method, "bank").traits.owns_weight) return false;
    return std::all_of(group.sites.begin(), group.sites.end(),
                       [&](const Site& site) { return bank->layout.adapts(site.name); });
  });
}

/// W as this AdapterSet's rows meet it.
torch::Tensor base_weight(const BaseModel& model, const Site& site, const Basis* basis, const AdapterSet& adapters,
                          const torch::TensorOptions& options) {
  const torch::Tensor weight = model.site_weight(site);
  if (!residual(adapters) || !adapters.adapts(site.name)) return weight.to(options);
  const int64_t rank = adapters.banks.front()->layout.rank_of(site.name);
  const auto type = options.dtype() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  return (weight.to(type) - residual_loss(basis->at(site.name), rank, type)).to(options);
}

JoinedProjection join(const BaseModel& model, const ProjectionGroup& group, const Basis* basis,
                      const AdapterSet& adapters, const torch::TensorOptions& options, WeightMemory memory,
                      std::vector<Site>& adapted) {
  const auto basis_options = options.dtype(options.dtype() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32);
  JoinedProjection projection;
  projection.out_features = group.out_features;
  const bool own = brings_all(group, adapters);
  const bool tight = memory == WeightMemory::kTight;
  std::vector<torch::Tensor> rows, biases;  // the last ones of a
  std::vector<BlockTensor> stored;
  bool any_bias = false;
  for (const Site& site : group.sites) {
    if (own) continue;
    if (tight) {
      stored.push_back(model.stored(site.name + ".weight"));
    } else {
      rows.push_back(base_weight(model, site, basis, adapters, options));
    }
    if (model.has(site.name + ".bias")) any_bias = true;
  }
  for (const Site& site : group.sites) {
    const bool has = model.has(site.name + ".bias");
    biases.push_back(has ? model.weight(site.name + ".bias").to(options) : torch::zeros({site.out_features}, options));
  }
  int64_t width = group.out_features;
  for (size_t i = 0; i < group.sites.size(); ++i) {
    const Site& site = group.sites[i];
    if (!adapters.adapts(site.name)) continue;
    const int64_t rank = adapters.basis_rank(site.name);
    JoinedSite joined{.column = group.columns[i], .out_features = site.out_features, .u_column = width, .rank = rank};
    if (const double dropout = adapter_dropout(adapters); dropout > 0) {
      const std::vector<std::string>& modules = model.architecture->modules;
      const auto module = std::find(modules.begin(), modules.end(), site.module) - modules.begin();
      joined.dropout = Dropout::of_adapter(dropout, site.layer, module);
    }
    if (rank > 0) {
      TORCH_CHECK(basis != nullptr, "AdaptedModel: adapters without a basis");
      const SiteBasis& pair = basis->at(site.name);
      TORCH_CHECK(pair.a.size(0) >= rank && pair.a.size(1) == site.in_features && pair.b.size(0) == site.out_features,
                  "AdaptedModel: basis of ", site.name, " is ", pair.a.sizes(), ", adapters want rank ", rank);
      TORCH_CHECK(basis->recipe.nested() || pair.a.size(0) == rank, "AdaptedModel: basis is not nested");
      joined.b = pair.b.narrow(1, 0, rank).to(basis_options).contiguous();
      joined.b_transposed = joined.b.t().contiguous();
      if (joined.dropout.active()) joined.a = pair.a.narrow(0, 0, rank).to(basis_options).contiguous();
      rows.push_back(pair.a.narrow(0, 0, rank).to(options));
      biases.push_back(torch::zeros({rank}, options));
      width += rank;
    }
    adapted.push_back(site);
    projection.sites.push_back(std::move(joined));
  }
  if (own) return projection;
  const torch::Tensor joined_rows = rows.empty() ? torch::Tensor() : torch::cat(rows);
  projection.weight = tight ? FrozenWeight::stored(std::move(stored), joined_rows, options.dtype().toScalarType())
                            : FrozenWeight::packed(joined_rows, adapters.trains());
  if (any_bias) projection.bias = torch::cat(biases);
  return projection;
}

/// Rows [0, rows) in two lists, as `is_answer`(row) says.
template <typename IsAnswer>
AnswerRows answer_rows(int64_t rows, const IsAnswer& is_answer) {
  std::vector<int64_t> answers, others;
  for (int64_t row = 0; row < rows; ++row) (is_answer(row) ? answers : others).push_back(row);
  const auto index = [](const std::vector<int64_t>& list) {
    return list.empty() ? torch::Tensor() : torch::tensor(list, torch::kInt64);
  };
  return {.answers = index(answers), .others = index(others)};
}

}  // namespace

AdaptedModel::AdaptedModel(const BaseModel& model, std::shared_ptr<const Basis> basis, AdapterSet adapters,
                           torch::ScalarType compute_dtype, torch::Device device, WeightMemory memory)
    : config_(model.config),
      basis_(std::move(basis)),
      adapters_(std::move(adapters)),
      device_(device),
      memory_(memory),
      backbone_(make_backbone(model, compute_dtype, device)) {
  torch::NoGradGuard no_grad;
  if (memory == WeightMemory::kTight && residual(adapters_)) {
    throw Error(concat("memory: expected normal for ", adapters_.banks.front()->layout.method,
                       ", which takes a part off the base's weights, found tight"));
  }
  const auto options = torch::TensorOptions().dtype(compute_dtype).device(device);
  for (const ProjectionGroup& group : backbone_->groups()) {
    Group prepared;
    prepared.projection = join(model, group, basis_.get(), adapters_, options, memory, prepared.sites);
    if (memory == WeightMemory::kNormal) model.release_pages();
    for (const auto& bank : adapters_.banks) {
      prepared.trained = prepared.trained || (bank->gradients.defined() && bank->trains_sites &&
                                              std::any_of(prepared.sites.begin(), prepared.sites.end(),
                                                          [&](const Site& s) { return bank->layout.adapts(s.name); }));
    }
    prepared.slots = slot_sites(prepared.sites);
    groups_.push_back(std::move(prepared));
  }
  const bool any_head = std::any_of(adapters_.banks.begin(), adapters_.banks.end(),
                                    [](const auto& bank) { return bank->layout.head.kind != "none"; });
  if (any_head) head_ = std::make_unique<ClassificationHead>(model, compute_dtype, device);
  if (model.architecture->kind == ModelKind::kDecoder) {
    language_head_ = std::make_unique<LanguageHead>(model, compute_dtype, device, adapters_.trains(), memory);
  }
  if (memory == WeightMemory::kNormal) model.release_pages();
  anchor_ = torch::zeros({}, torch::TensorOptions().dtype(torch::kFloat32).device(device)).requires_grad_(true);
}

RowTensor AdaptedModel::row_tensor(const SlotRef& slot, const std::string& name) const {
  const Bank& bank = *adapters_.banks[slot.bank];
  const LayoutSegment* segment = bank.layout.find(name);
  if (segment == nullptr) return {};
  RowTensor tensor{.values = bank.values, .adapter = slot.row, .offset = segment->offset, .shape = segment->shape};
  if (training_ && (segment->head || bank.trains_sites)) tensor.gradients = bank.gradients;
  return tensor;
}

std::vector<std::vector<SiteAdapter>> AdaptedModel::slot_sites(const std::vector<Site>& sites) const {
  std::vector<std::vector<SiteAdapter>> result;
  for (const SlotRef& slot : adapters_.slots) {
    result.emplace_back();
    for (const Site& site : sites) {
      result.back().push_back(bind_site(*adapters_.banks[slot.bank], slot.row, site, basis_.get()));
    }
  }
  return result;
}

std::vector<SegmentAdapters> AdaptedModel::segment_adapters(const Group& group,
                                                            const std::vector<SlotSegment>& segments) const {
  std::vector<SegmentAdapters> result;
  for (const SlotSegment& segment : segments) {
    if (segment.slot == kNoSlot || group.sites.empty()) continue;
    const Bank& bank = *adapters_.banks[adapters_.slots.at(segment.slot).bank];
    result.push_back({.begin = segment.begin, .end = segment.end, .sites = group.slots[segment.slot]});
    for (SiteAdapter& adapter : result.back().sites) {
      adapter.for_parts([&](RowTensor& part) {
        if (!part.defined()) return;
        part.values = bank.values;
        if (training_ && bank.trains_sites) part.gradients = bank.gradients;
      });
    }
  }
  return result;
}

BatchTensors AdaptedModel::bind(const PackedBatch& batch, bool training) {
  training_ = training;
  BatchTensors tensors = make_batch_tensors(batch, device_);
  const bool drops = training && adapter_dropout(adapters_) > 0;
  token_keys_ = drops ? tensors.token_rows : RowKeys{};
  asked_keys_ = drops ? tensors.asked_keys : RowKeys{};
  token_segments_ = token_segments(batch);
  asked_segments_ = asked_segments(batch);
  token_answers_ = asked_answers_ = {};
  if (memory_ == WeightMemory::kNormal || batch.answer_rows.empty()) return tensors;
  std::vector<bool> of_answers(batch.num_tokens());
  for (const int32_t row : batch.answer_rows) of_answers[row] = true;
  token_answers_ = answer_rows(batch.num_tokens(), [&](int64_t row) { return of_answers[row]; });
  asked_answers_ = answer_rows(batch.num_asked(), [&](int64_t row) { return of_answers[batch.asked_rows[row]]; });
  return tensors;
}

torch::Tensor AdaptedModel::project(size_t index, const torch::Tensor& x, RowKind rows) {
  const Group& group = groups_.at(index);
  const bool tokens = rows == RowKind::kTokens;
  const auto segments = segment_adapters(group, tokens ? token_segments_ : asked_segments_);
  return adapted_linear(x, trains(index) ? anchor_ : torch::Tensor(), group.projection, segments,
                        tokens ? token_answers_ : asked_answers_, tokens ? token_keys_ : asked_keys_);
}

bool AdaptedModel::trains(size_t group) const { return training_ && groups_.at(group).trained; }

torch::Tensor AdaptedModel::encode(const PackedBatch& batch, bool training, KeyValueCache* cache) {
  return backbone_->forward(bind(batch, training), *this, training, cache);
}

torch::Tensor AdaptedModel::token_logits(const PackedBatch& batch, KeyValueCache* cache) {
  TORCH_CHECK(language_head_ != nullptr, "AdaptedModel::token_logits: an encoder predicts no tokens");
  const torch::Tensor hidden = encode(batch, /*training=*/false, cache);  // [asked, hidden]
  return language_head_->logits(hidden, asked_answers_);
}

CrossEntropy AdaptedModel::token_loss(const PackedBatch& batch, bool training) {
  TORCH_CHECK(language_head_ != nullptr, "AdaptedModel::token_loss: an encoder predicts no tokens");
  const BatchTensors tensors = bind(batch, training);
  const torch::Tensor hidden = backbone_->forward(tensors, *this, training, nullptr);  // [asked, hidden]
  const auto dtype = hidden.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  return language_head_->loss(hidden, tensors.target_ids, tensors.asked_weights.to(dtype));
}

HeadLogits AdaptedModel::logits(const PackedBatch& batch, bool training) {
  TORCH_CHECK(head_ != nullptr, "AdaptedModel::logits: no bank has a head");
  TORCH_CHECK(batch.num_asked() == batch.num_sequences(), "AdaptedModel::logits: expected one asked row a sequence");
  const BatchTensors tensors = bind(batch, training);
  const torch::Tensor first = backbone_->forward(tensors, *this, training, nullptr);  // [sequences, hidden]
  std::vector<HeadSegment> segments;
  HeadLogits logits;
  int64_t widest = 0;
  for (const SlotSegment& segment : asked_segments_) {
    const HeadLayout none;
    const HeadLayout& head =
        segment.slot == kNoSlot ? none : adapters_.banks[adapters_.slots.at(segment.slot).bank]->layout.head;
    const bool regression = head.outputs > 0 && head.labels.empty();
    widest = std::max(widest, head.outputs);
    if (!logits.runs.empty() && logits.runs.back().outputs == head.outputs &&
        logits.runs.back().regression == regression) {
      logits.runs.back().end = segment.end;
    } else {
      logits.runs.push_back({segment.begin, segment.end, head.outputs, regression});
    }
    if (head.outputs == 0) continue;
    const SlotRef& slot = adapters_.slots.at(segment.slot);
    segments.push_back({.begin = segment.begin,
                        .end = segment.end,
                        .dense_weight = row_tensor(slot, "head.dense.weight"),
                        .dense_bias = row_tensor(slot, "head.dense.bias"),
                        .classifier_weight = row_tensor(slot, "head.classifier.weight"),
                        .classifier_bias = row_tensor(slot, "head.classifier.bias")});
  }
  logits.values =
      head_->forward(first, training ? anchor_ : torch::Tensor(), segments, widest, tensors.asked_keys, training);
  return logits;
}

}  // namespace loraxs
