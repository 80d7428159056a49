// adapt/exchange/import.h: adapters of others as rows: LoRA-XS of the reference and LoRA as they are, either projected.
#pragma once
#include <string>
#include <vector>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "adapt/exchange/peft_reader.h"
#include "model/base_model.h"

namespace loraxs {

/// A LoRA-XS checkpoint with the basis it was trained in: exact. The basis is float32 as in the file; its variant is
/// `imported_svd` where b is orthonormal and the rows of a are orthogonal (to 1e-3), else `imported_random`. `labels`
/// are the classes of a head. Throws Error where modules differ in rank or scale, or bring no R.
struct ImportedCheckpoint {
  Basis basis;  // not written yet
  Bank bank;    // of one
};
ImportedCheckpoint import_checkpoint(const PeftAdapter& adapter, const BaseModel& model,
                                     const std::vector<std::string>& labels);

/// A plain LoRA as it is: a row of method `lora` with A and B, in a bank of one. Modules may differ in rank; where they
/// differ in alpha, B takes the factor over. Throws Error for LoRA-XS.
Bank import_lora(const PeftAdapter& adapter, const BaseModel& model, const std::vector<std::string>& labels);

/// What a projection on another basis lost: ‖ΔW − b R a‖ / ‖ΔW‖.
struct ProjectionLoss {
  double whole = 0;                                     // over all modules together
  std::vector<std::pair<std::string, double>> modules;  // per site, in canonical order
  const std::pair<std::string, double>& worst() const;
};

/// ΔW of every module projected on `basis`, which covers them: R = nearest_r, alpha = the basis' rank, so that scale is
/// 1. The head is carried over.
struct ProjectedAdapter {
  Bank bank;  // of one
  ProjectionLoss loss;
};
ProjectedAdapter import_projected(const PeftAdapter& adapter, const BaseModel& model, const Basis& basis,
                                  const std::vector<std::string>& labels);

}  // namespace loraxs
