#include "api/adapter_tools.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "adapt/exchange/peft.h"
#include "adapt/merge.h"
#include "api/adapters.h"
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
  CombinedAdapters combined = combine_adapters(model, expression, head, {}, settings);
  AdapterProvenance provenance = combined.opened.files[combined.head].provenance;
  provenance.summary = "";
  write_adapter(out, combined.bank, 0, model, *combined.opened.basis, provenance);
  return combined.bank;
}

MergeCheck merge_to_folder(const OpenedAdapter& opened, const std::filesystem::path& out) {
  refuse_existing(out, "--out");
  const BaseModel merged = merge_model(opened.model, *opened.basis, *opened.bank, 0);
  write_model_folder(out, merged, opened.bank.get(), 0);
  // The head alone on the merged weights must give what the adapter gives on the base.
  AdaptedModel adapted = adapted_model(opened, "float32");
  const auto plain_bank = std::make_shared<Bank>(head_of(*opened.bank, 0));
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
