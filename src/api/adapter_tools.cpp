#include "api/adapter_tools.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "adapt/adapter_record.h"
#include "adapt/exchange/gguf_adapter.h"
#include "adapt/exchange/peft.h"
#include "adapt/merge.h"
#include "adapt/merged_gguf.h"
#include "api/store.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/gguf.h"
#include "io/seeds.h"
#include "ops/block_quantize.h"

namespace loraxs {
namespace {

/// What --dtype means in a folder and in a GGUF file.
struct MergedType {
  std::optional<torch::ScalarType> dtype;
  std::optional<BlockType> block;
};
MergedType merged_type(const std::string& name, bool to_gguf) {
  if (name.empty()) return {};
  const std::optional<BlockType> block = writable_type(name);
  if (block && to_gguf) return {.block = block};
  if (name == "float32") return {.dtype = torch::kFloat32};
  if (name == "float16") return {.dtype = torch::kFloat16};
  if (name == "bfloat16") return {.dtype = torch::kBFloat16};
  throw Error(concat("--dtype: expected ", to_gguf ? writable_type_names() : "float32, float16 or bfloat16", ", found ",
                     name, block ? "; blocks are for GGUF bases" : ""));
}

/// What the model computes for slot 0: logits, or hidden states of an encoder without a head.
torch::Tensor outputs_of(AdaptedModel& model, const PackedBatch& batch) {
  torch::NoGradGuard no_grad;
  if (model.adapters().banks.front()->layout->head.kind != "none") return model.logits(batch, false).values;
  return model.generates() ? model.token_logits(batch) : model.encode(batch, false);
}

/// `written` against the adapter on its base.
OutputCheck check_outputs(const OpenedAdapter& opened, AdaptedModel& written) {
  AdaptedModel adapted = adapted_model(opened, "float32");
  const auto plain = std::make_shared<Bank>(head_of(*opened.bank, 0));
  AdaptedModel base(opened.model, opened.basis, AdapterSet::of_bank(plain), torch::kFloat32);
  const PackedBatch batch = probe_batch(opened.model, 0);
  const torch::Tensor reference = outputs_of(adapted, batch);
  const OutputCheck check{.difference = largest_change(outputs_of(written, batch), reference),
                          .effect = largest_change(outputs_of(base, batch), reference)};
  if (std::isfinite(check.difference) && std::isfinite(check.effect)) return check;
  throw Error(concat(opened.file.path.string(), ": expected finite outputs of the model with it, before and after it ",
                     "is written, found infinity or NaN; its numbers are too large, for this model or for the type"));
}

/// What `check` finds of `out`, which was just written: where it throws, nothing is left there.
template <typename Check>
auto check_or_remove(const std::filesystem::path& out, Check check) {
  try {
    return check();
  } catch (const Error&) {
    std::error_code ignored;
    std::filesystem::remove_all(out, ignored);
    throw;
  }
}

}  // namespace

void refuse_sum_at(const std::filesystem::path& out) {
  if (!is_store_url(out.string())) {
    refuse_existing(out, "--out");
    return;
  }
  const StoreReference reference = parse_store_reference(out.string());
  reference.refuse_version();
  static_cast<void>(reference.adapter());
}

WrittenSum combine_files(const BaseModel& model, const std::string& expression, const std::string& head,
                         const std::filesystem::path& out, const Settings& settings) {
  refuse_sum_at(out);
  CombinedAdapters combined = combine_adapters(model, expression, head, {}, settings);
  AdapterProvenance provenance = combined.opened.files[combined.head].provenance;
  provenance.summary = "";
  if (!is_store_url(out.string())) {
    write_adapter(out, combined.bank, 0, model, *combined.opened.basis, provenance);
    return {.sum = std::move(combined), .written = out.string()};
  }
  AdapterFile adapter = adapter_of(combined.bank, 0, model, *combined.opened.basis, provenance);
  adapter.path = combined.opened.files[combined.head].path;  // where a basis that travels lies
  const StoreReference reference = parse_store_reference(out.string());
  const AdapterName name = reference.adapter();
  const std::vector<PutResult> put = put_adapters(*open_store(reference.url, OpenStore::kCreate), {{name, &adapter}});
  return {.sum = std::move(combined), .written = shown_reference(reference.url, name, put.front().version)};
}

MergeCheck merge_to(const OpenedAdapter& opened, const std::filesystem::path& out, const std::string& dtype) {
  refuse_existing(out, "--out");
  refuse_inside(out, opened.model.folder, "--out");
  const bool to_gguf = is_gguf_path(opened.model.folder);
  if (to_gguf != is_gguf_path(out)) {
    throw Error(concat(out.string(), ": --out: expected ", to_gguf ? "a .gguf file" : "a folder", " as the base ",
                       opened.model.folder.string(), " is, found ", to_gguf ? "another name" : "a .gguf file",
                       "; loraxs convert makes one of the other"));
  }
  const MergedType type = merged_type(dtype, to_gguf);
  std::vector<std::string> left_out;
  if (to_gguf) {
    write_merged_gguf(out, opened.model, *opened.basis, *opened.bank, 0, type.block);
  } else {
    BaseModel base = opened.model;
    for (const Site& site : opened.bank->layout->sites) {
      if (type.dtype) base.replace(site.name + ".weight", base.site_weight(site).to(torch::kFloat32));  // rounds once
    }
    left_out =
        write_model_folder(out, merge_model(base, *opened.basis, *opened.bank, 0), opened.bank.get(), 0, type.dtype);
  }
  // The head alone on the merged weights must give what the adapter gives on the base.
  return check_or_remove(out, [&]() -> MergeCheck {
    const BaseModel written = load_base_model(out, "", opened.model.reading);
    AdaptedModel plain(written, opened.basis, AdapterSet::of_bank(std::make_shared<Bank>(head_of(*opened.bank, 0))),
                       torch::kFloat32);
    return {.base_id = written.base_id, .outputs = check_outputs(opened, plain), .left_out = left_out};
  });
}

void export_adapter(const OpenedAdapter& opened, const std::string& format, const std::filesystem::path& out) {
  refuse_existing(out, "--out");
  if (format == "peft") {
    export_peft(out, opened.model, *opened.basis, *opened.bank, 0);
  } else if (format == "reference") {
    export_reference(out, opened.model, *opened.basis, *opened.bank, 0);
  } else if (format == "gguf") {
    export_gguf_adapter(out, opened.model, *opened.basis, *opened.bank, 0);
  } else if (format == "loraxs") {
    write_adapter(out, *opened.bank, 0, opened.model, *opened.basis, opened.file.provenance);
  } else {
    throw Error(concat("format: expected peft, gguf, reference or loraxs, found ", format));
  }
}

OutputCheck check_row(const OpenedAdapter& opened, const std::vector<float>& row) {
  OpenedAdapter rounded = opened;
  rounded.bank = std::make_shared<Bank>(*opened.bank);
  rounded.bank->values = torch::tensor(row).unsqueeze(0);
  AdaptedModel written = adapted_model(rounded, "float32");
  return check_outputs(opened, written);
}

OutputCheck export_rounded(const OpenedAdapter& opened, const std::string& dtype, const std::filesystem::path& out) {
  refuse_existing(out, "--out");
  const torch::ScalarType type = *merged_type(dtype, /*to_gguf=*/false).dtype;
  write_adapter(out, *opened.bank, 0, opened.model, *opened.basis, opened.file.provenance, Existing::kRefused, type);
  return check_or_remove(out, [&] {
    OpenedAdapter rounded = opened;
    rounded.bank = std::make_shared<Bank>(open_adapter(read_adapter(out), *opened.bank->layout, *opened.basis));
    AdaptedModel written = adapted_model(rounded, "float32");
    return check_outputs(opened, written);
  });
}

PackedBatch probe_batch(const BaseModel& model, int64_t slot) {
  constexpr int64_t kSequences = 8, kTokens = 24;
  std::vector<Sequence> sequences(kSequences);
  for (int64_t s = 0; s < kSequences; ++s) {
    const int64_t words = model.config.vocab_size;
    const std::vector<int64_t> ids = permutation(words, static_cast<uint64_t>(s));
    sequences[s].input_ids.assign(ids.begin(), ids.begin() + std::min(kTokens, words));
    sequences[s].slot = slot;
  }
  // The first token of a decoder sees nothing: there every token is asked.
  return pack(sequences, model.architecture->kind == ModelKind::kDecoder ? Ask::kAll : Ask::kLoss);
}

double largest_change(const torch::Tensor& x, const torch::Tensor& reference) {
  constexpr double kLeast = std::numeric_limits<float>::min();  // outputs may all be zero: 0 * an adapter
  return ((x - reference).abs().max() / reference.abs().max().clamp_min(kLeast)).item<double>();
}

}  // namespace loraxs
