// train/job_identity.h: by what a job of a fleet is known again in the store, long after the fleet that trained it.
#pragma once
#include <string>

#include "train/fleet_job.h"
#include "train/recipe.h"

namespace loraxs {

/// 32 hexadecimal digits of a SHA-256 over all that the job's row follows from: base, basis, names and seed, the
/// recipe's and its own settings, its labels, its examples' tokens and targets, and its start. Not the machine: a row
/// that another CPU trained is this job's too. `own_head`: init_head of a job that starts from its user's newest
/// adapter, whichever that is; empty: the numbers that it starts from count.
std::string job_identity(const Recipe& recipe, const FleetJob& job, const std::string& base_id,
                         const std::string& basis_id, const std::string& own_head);

/// Where an adapter's training summary has it.
inline constexpr const char* kJobIdentity = "job";

}  // namespace loraxs
