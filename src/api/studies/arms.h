// api/studies/arms.h: the comparisons of the studies, one file each.
#pragma once
#include "api/studies/comparison.h"

namespace loraxs {

/// Table 1's LoRA and full fine-tuning, with the rates that every study gives them: one training serves all.
Arm lora_arm();
Arm full_arm();

Comparison glue_comparison(const StudyRequest& request);
Comparison init_comparison(const StudyRequest& request);
Comparison vectors_comparison(const StudyRequest& request);
Comparison sigma_comparison(const StudyRequest& request);
Comparison budget_comparison(const StudyRequest& request);
Comparison instruct_comparison(const StudyRequest& request);
Comparison basis_comparison(const StudyRequest& request);

StudyFindings run_parameters(const Study& study, const StudyRequest& request);
StudyFindings run_init(const Study& study, const StudyRequest& request);
StudyFindings run_importance(const Study& study, const StudyRequest& request);
StudyFindings run_delta(const Study& study, const StudyRequest& request);
StudyFindings run_storage(const Study& study, const StudyRequest& request);
StudyFindings run_speed(const Study& study, const StudyRequest& request);
StudyFindings run_combine(const Study& study, const StudyRequest& request);
StudyFindings run_seed(const Study& study, const StudyRequest& request);
StudyFindings run_size(const Study& study, const StudyRequest& request);
StudyFindings run_spend(const Study& study, const StudyRequest& request);
StudyFindings run_personal(const Study& study, const StudyRequest& request);

/// Seconds of what is missing of the study `personal`.
double estimate_personal(const Study& study, const StudyRequest& request);

}  // namespace loraxs
