// adapt/exchange/peft_reader.h: a folder that PEFT or the paper's reference wrote, read strictly: plain LoRA (A, B) or
// LoRA-XS (A, B and R).
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "adapt/exchange/peft_config.h"
#include "model/architecture.h"

namespace loraxs {

/// One adapted projection: ΔW = scale · b a, or scale · b r a.
struct PeftModule {
  Site site;
  std::string name;  // as the file calls it
  torch::Tensor a;   // [rank, in_features] float32
  torch::Tensor b;   // [out_features, rank] float32
  torch::Tensor r;   // [rank, rank] float32; undefined in plain LoRA
  double alpha = 8;  // as the config says
  double scale = 1;  // alpha / rank, or alpha / √rank with rslora

  int64_t rank() const { return a.size(0); }
};

struct PeftAdapter {
  std::filesystem::path folder;
  bool rslora = false;                        // the config says use_rslora
  PeftStart start = PeftStart::kWhole;        // what of the base a and b hold: see peft_start.h
  std::vector<PeftModule> modules;            // in canonical order
  std::map<std::string, torch::Tensor> head;  // "head.classifier.weight" … float32; empty without a head

  std::vector<Site> sites() const;
  /// Whether it is LoRA-XS: every module brings its R, or none does.
  bool has_r() const { return modules.front().r.defined(); }
  /// "none", "output", "full" or "pooler": what the row of such a head is called in this family.
  std::string head_kind(const Architecture& architecture) const;
};

/// True for a folder with adapter_config.json.
bool is_peft_folder(const std::filesystem::path& folder);

/// Reads adapter_config.json and adapter_model.safetensors and matches every tensor with a projection or the head of
/// this model. R is taken from `MODULE_lora_latent_mapping`, `MODULE.default_lora_latent_mapping` and
/// `MODULE.lora_latent_mapping`. Throws Error listing all that is missing, unknown or misshapen; also for R without A
/// and B, what PeftConfig refuses, and what is no LoRA at all.
PeftAdapter read_peft(const std::filesystem::path& folder, const Architecture& architecture, const ModelConfig& config);

}  // namespace loraxs
