// api/energy_study.h: how much of a task's real gradient the subspaces of LoRA-XS capture, projection by projection.
#pragma once
#include <optional>
#include <vector>

#include "adapt/energy.h"
#include "api/opened_adapter.h"
#include "data/task.h"

namespace loraxs {

struct EnergyStudyOptions {
  int64_t rank = 16;
  int64_t examples = 128;    // the first of the task's training data (else of its validation data)
  int64_t max_length = 128;  // tokens of an example
  uint64_t seed = 0;         // of random subspaces and of a fresh head
};

struct SiteEnergy {
  Site site;
  CapturedEnergy energy;
};
struct EnergyStudy {
  std::vector<SiteEnergy> sites;  // every projection of the model, in canonical order
  int64_t examples = 0;
  double loss = 0;  // of the examples, at the weights the gradient was taken at
};

/// With an adapter the gradient is taken at the merged weights, under its head; without one at the base, under a fresh
/// head. Throws Error where task and model do not go together, and for a rank above a projection's width.
EnergyStudy study_energy(const BaseModel& model, const std::optional<OpenedAdapter>& adapter, const Task& task,
                         const EnergyStudyOptions& options);

}  // namespace loraxs
