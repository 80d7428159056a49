#include "api/adapter_tools.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "adapt/exchange/peft.h"
#include "adapt/merge.h"
#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

/// Sequences of random ids, for comparing two forms of one model.
PackedBatch probe_batch(const ModelConfig& config) {
  constexpr int64_t kSequences = 8, kTokens = 24;
  std::vector<Sequence> sequences(kSequences);
  for (int64_t s = 0; s < kSequences; ++s) {
    const std::vector<int64_t> ids = permutation(config.vocab_size, static_cast<uint64_t>(s));
    sequences[s].input_ids.assign(ids.begin(), ids.begin() + std::min(kTokens, config.vocab_size));
    sequences[s].slot = 0;
  }
  return pack(sequences);
}

/// What the model computes with the adapter in `set`: logits where there is a head, first-token states otherwise.
torch::Tensor outputs_of(AdaptedModel& model, const PackedBatch& batch) {
  torch::NoGradGuard no_grad;
  const bool has_head = model.adapters().banks.front()->layout.head.kind != "none";
  return has_head ? model.logits(batch, false) : model.encode(batch, false);
}

}  // namespace

Bank combine_files(const BaseModel& model, const std::string& expression, const std::string& head,
                   const std::filesystem::path& out, const Settings& settings) {
  const std::vector<CombineTerm> terms = parse_combination(expression);
  std::vector<AdapterFile> files;
  std::vector<Layout> layouts;
  size_t largest = 0;
  for (const CombineTerm& term : terms) {
    files.push_back(read_adapter(term.name));
    layouts.push_back(resolve_layout(files.back(), model));
    BasisRecipe recipe = files.back().basis, widest = files[largest].basis;
    if (layouts.back().largest_rank() > layouts[largest].largest_rank()) largest = files.size() - 1;
    recipe.rank = widest.rank = 0;
    if (!(recipe == widest)) {
      throw Error(concat(term.name, ": expected an adapter on the same kind of basis as ", files[largest].path.string(),
                         ", found another variant; rows of different bases do not add"));
    }
  }
  // One basis for all: the widest, over every site that some adapter has; each adapter is checked against it.
  std::vector<Site> sites;
  for (const Layout& layout : layouts) {
    for (const Site& site : layout.sites) {
      if (std::find(sites.begin(), sites.end(), site) == sites.end()) sites.push_back(site);
    }
  }
  const auto basis = basis_for(model, sites, files[largest].basis, {}, settings);
  std::vector<Bank> banks;
  banks.reserve(files.size());
  for (size_t i = 0; i < files.size(); ++i) banks.push_back(open_adapter(files[i], layouts[i], *basis));
  std::vector<CombineInput> inputs;
  HeadRule rule{.kind = head == "auto" || head == "none" ? head : "take"};
  bool found = rule.kind != "take";
  for (size_t i = 0; i < terms.size(); ++i) {
    inputs.push_back({.bank = &banks[i], .row = 0, .weight = terms[i].weight});
    if (rule.kind == "take" && terms[i].name == head) {
      rule.take = i;
      found = true;
    }
  }
  if (!found) throw Error(concat("--head ", head, ": expected auto, none or one of the adapters in the expression"));
  Bank result = combine(inputs, rule);
  AdapterProvenance provenance = files[rule.take].provenance;
  provenance.summary = "";
  write_adapter(out, result, 0, model, *basis, provenance);
  return result;
}

MergeCheck merge_to_folder(const OpenedAdapter& opened, const std::filesystem::path& out) {
  refuse_existing(out, "--out");
  const BaseModel merged = merge_model(opened.model, *opened.basis, *opened.bank, 0);
  write_model_folder(out, merged, opened.bank.get(), 0);
  // The same rows with R = 0 on the merged weights must give what the adapter gives on the base.
  AdaptedModel adapted = adapted_model(opened, "float32");
  auto plain_bank = std::make_shared<Bank>(*opened.bank);
  plain_bank->values = opened.bank->values.clone();
  plain_bank->values.narrow(1, 0, opened.bank->layout.adapter_numbers).zero_();
  AdaptedModel plain(merged, opened.basis, AdapterSet::of_bank(plain_bank), torch::kFloat32);
  AdaptedModel base(opened.model, opened.basis, AdapterSet::of_bank(plain_bank), torch::kFloat32);
  const PackedBatch batch = probe_batch(opened.model.config);
  const torch::Tensor reference = outputs_of(adapted, batch);
  return {.base_id = merged.base_id,
          .difference = largest_change(outputs_of(plain, batch), reference),
          .effect = largest_change(outputs_of(base, batch), reference)};
}

void export_adapter(const OpenedAdapter& opened, const std::string& format, const std::filesystem::path& out) {
  refuse_existing(out, "--out");
  if (format == "peft") {
    export_peft(out, opened.model, *opened.basis, *opened.bank, 0);
  } else if (format == "loraxs") {
    write_adapter(out, *opened.bank, 0, opened.model, *opened.basis, opened.file.provenance);
  } else {
    throw Error(concat("format: expected peft or loraxs, found ", format));
  }
}

void refuse_existing(const std::filesystem::path& path, const std::string& option) {
  if (!std::filesystem::exists(path)) return;
  throw Error(concat(path.string(), ": expected nothing there, found a ",
                     std::filesystem::is_directory(path) ? "folder" : "file", "; choose another ", option));
}

double largest_change(const torch::Tensor& x, const torch::Tensor& reference) {
  return ((x - reference).abs().max() / reference.abs().max()).item<double>();
}

}  // namespace loraxs
