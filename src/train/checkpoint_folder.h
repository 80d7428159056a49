// train/checkpoint_folder.h: checkpoints on disk: folders checkpoints/step-N of tensors and JSON, complete or absent.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace loraxs {

/// What must agree between a checkpoint and the run that resumes it: recipe, data, base, basis, jobs; and, unless drift
/// is allowed, the GEMM table, thread count and precision.
struct RunIdentity {
  std::string content;   // digest over recipe, base_id, basis_id, data
  std::string numerics;  // gemm_record and precision
};

/// Whether `run` holds a checkpoint that we wrote, whole or damaged.
bool has_checkpoint(const std::filesystem::path& run);
/// The step of the newest one; 0: there is none.
int64_t newest_checkpoint_step(const std::filesystem::path& run);

using CheckpointTensors = std::map<std::string, torch::Tensor>;  // contiguous, on the CPU, float32 or float64

/// Writes checkpoints/step-N with `tensors` and `state`. When it is whole and synced, the newest of those before it
/// stays too; the others lose the files that we write and, if nothing else is in them, go. In the folder `checkpoints`
/// nothing else is touched.
void write_checkpoint_folder(const std::filesystem::path& run, int64_t step, const char* format, nlohmann::json state,
                             const CheckpointTensors& tensors, const RunIdentity& identity);

/// Reads the newest complete one: its state, its folder's rows.safetensors, and what to call the state in errors. False
/// if there is none; damaged ones are skipped. Throws Error when it has none of `formats`, belongs to another recipe or
/// machine, or when one cannot be read at all.
using ReadCheckpoint = std::function<void(const nlohmann::json& state, const std::filesystem::path& rows,
                                          const std::string& where)>;
bool read_newest_checkpoint_folder(const std::filesystem::path& run, const std::vector<std::string>& formats,
                                   const RunIdentity& identity, bool allow_drift, const ReadCheckpoint& read);

}  // namespace loraxs
