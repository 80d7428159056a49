#include "train/checkpoint.h"

#include "io/error.h"
#include "io/safetensors.h"
#include "model/base_model.h"
#include "train/state_json.h"

namespace loraxs {
namespace {

constexpr const char* kCheckpointFormat = "loraxs-checkpoint-3";
constexpr const char* kLastCheckpointFormat =
    "loraxs-checkpoint-2";  // without last_losses and ended; null where not finite

using Tensors = std::vector<std::pair<const char*, torch::Tensor TrainingState::*>>;
const Tensors& tensors() {
  static const Tensors all = {{"values", &TrainingState::values},
                              {"first_moments", &TrainingState::first_moments},
                              {"second_moments", &TrainingState::second_moments},
                              {"best_values", &TrainingState::best_values},
                              {"importance", &TrainingState::importance},
                              {"uncertainty", &TrainingState::uncertainty}};
  return all;
}

/// Reads the rows, each of the shape and type that the run has.
void read_rows(const std::filesystem::path& path, TrainingState& state, const TrainingState& fresh) {
  const Safetensors rows = read_safetensors(path);
  for (const auto& [name, member] : tensors()) {
    const torch::Tensor& expected = fresh.*member;
    if (!expected.defined()) continue;
    const torch::Tensor found = view_tensor(rows.at(name));
    if (found.sizes() != expected.sizes() || found.scalar_type() != expected.scalar_type()) {
      throw Error(concat(path.string(), ": ", name, ": expected ", expected.scalar_type(), " ", expected.sizes(),
                         ", as this run has, found ", found.scalar_type(), " ", found.sizes()));
    }
    state.*member = found.clone();
  }
}

}  // namespace

void write_checkpoint(const std::filesystem::path& run, const TrainingState& state, const RunIdentity& identity) {
  CheckpointTensors rows;
  for (const auto& [name, member] : tensors()) {
    if ((state.*member).defined()) rows[name] = state.*member;
  }
  write_checkpoint_folder(run, state.step, kCheckpointFormat, state_to_json(state), rows, identity);
}

std::optional<TrainingState> read_newest_checkpoint(const std::filesystem::path& run, const RunIdentity& identity,
                                                    bool allow_drift, const TrainingState& fresh) {
  std::optional<TrainingState> state;
  const auto read = [&](const nlohmann::json& json, const std::filesystem::path& rows, const std::string& where) {
    TrainingState found = state_from_json(json, fresh, where);
    read_rows(rows, found, fresh);
    state = std::move(found);
  };
  read_newest_checkpoint_folder(run, {kCheckpointFormat, kLastCheckpointFormat}, identity, allow_drift, read);
  return state;
}

}  // namespace loraxs
