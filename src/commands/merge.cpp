#include "adapt/merge.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands/commands.h"
#include "commands/session.h"
#include "io/atomic_file.h"
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

double largest_change(const torch::Tensor& x, const torch::Tensor& reference) {
  return ((x - reference).abs().max() / reference.abs().max()).item<double>();
}

/// What the model computes with the adapter in `set`: logits where there is a head, first-token states otherwise.
torch::Tensor outputs_of(AdaptedModel& model, const PackedBatch& batch) {
  torch::NoGradGuard no_grad;
  const bool has_head = model.adapters().banks.front()->layout.head.kind != "none";
  return has_head ? model.logits(batch, false) : model.encode(batch, false);
}

}  // namespace

int run_merge(const MergeOptions& options, const CommonOptions& common) {
  if (std::filesystem::exists(options.out))
    throw Error(concat(options.out, ": expected no folder there, found one; choose another --out"));
  const OpenedAdapter opened = open_adapter_on_model(options.adapter, common);
  const BaseModel merged = merge_model(opened.model, *opened.basis, *opened.bank, 0);
  write_model_folder(options.out, merged, opened.bank.get(), 0);
  // The same rows with R = 0 on the merged weights must give what the adapter gives on the base.
  AdaptedModel adapted = adapted_model(opened, "float32");
  auto plain_bank = std::make_shared<Bank>(*opened.bank);
  plain_bank->values = opened.bank->values.clone();
  plain_bank->values.narrow(1, 0, opened.bank->layout.adapter_numbers).zero_();
  AdaptedModel plain(merged, opened.basis, AdapterSet::of_bank(plain_bank), torch::kFloat32);
  AdaptedModel base(opened.model, opened.basis, AdapterSet::of_bank(plain_bank), torch::kFloat32);
  const PackedBatch batch = probe_batch(opened.model.config);
  const torch::Tensor reference = outputs_of(adapted, batch);
  const double difference = largest_change(outputs_of(plain, batch), reference),
               effect = largest_change(outputs_of(base, batch), reference);
  if (common.json) {
    std::cout << nlohmann::json({{"out", options.out},
                                 {"base_id", merged.base_id},
                                 {"merged_against_adapted", difference},
                                 {"adapter_effect", effect}})
                     .dump()
              << '\n';
  } else {
    std::cout << options.out << ": merged; largest change of an output against the unmerged adapter " << difference
              << " (the adapter itself changes them by " << effect << ")\n";
  }
  return 0;
}

int run_unmerge(const UnmergeOptions& options, const CommonOptions& common) {
  if (std::filesystem::exists(options.out))
    throw Error(concat(options.out, ": expected no folder there, found one; choose another --out"));
  const OpenedAdapter opened = open_adapter_on_model(options.adapter, common);
  const BaseModel merged = load_base_model(options.merged, cache_folder(common));
  const BaseModel expected = merge_model(opened.model, *opened.basis, *opened.bank, 0);
  if (!options.subtract) {
    if (merged.base_id != expected.base_id && !opened.bank->layout.head.dense) {
      throw Error(concat(options.merged, ": expected ", options.adapter.model, " with ", options.adapter.adapter,
                         " merged in, found other weights; --subtract takes the update off whatever is there"));
    }
    copy_model_folder(opened.model.folder, options.out);
    std::cout << options.out << ": the kept base's own files, byte for byte\n";
    return 0;
  }
  const BaseModel restored = merge_model(merged, *opened.basis, *opened.bank, 0, /*sign=*/-1);
  write_model_folder(options.out, restored, nullptr, 0);
  double worst = 0;
  for (const Site& site : opened.bank->layout.sites) {
    worst = std::max(worst, largest_change(restored.site_weight(site).to(torch::kFloat64),
                                           opened.model.site_weight(site).to(torch::kFloat64)));
  }
  std::cout << options.out << ": subtracted; largest error of a weight against the base " << worst
            << " of the largest weight\n";
  return 0;
}

}  // namespace loraxs
