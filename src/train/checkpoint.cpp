#include "train/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/safetensors.h"
#include "io/sha256.h"
#include "io/system_error.h"
#include "model/base_model.h"
#include "train/state_json.h"

namespace loraxs {
namespace {

constexpr const char* kCheckpointFormat = "loraxs-checkpoint-3";
constexpr const char* kLastCheckpointFormat =
    "loraxs-checkpoint-2";  // without last_losses and ended; null where not finite
constexpr std::array<const char*, 3> kCheckpointFiles = {"digest", "state.json", "rows.safetensors"};

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

/// Folders checkpoints/step-N, newest first. A link is none of ours.
std::vector<std::pair<int64_t, std::filesystem::path>> list_checkpoints(const std::filesystem::path& run) {
  std::vector<std::pair<int64_t, std::filesystem::path>> found;
  const std::filesystem::path folder = run / "checkpoints";
  std::error_code code;
  if (std::filesystem::symlink_status(folder, code).type() != std::filesystem::file_type::directory) return found;
  for (std::filesystem::directory_iterator entry(folder, code), end; entry != end; entry.increment(code)) {
    const std::string name = entry->path().filename().string();
    int64_t step = 0;
    const std::string prefix = "step-";
    if (!name.starts_with(prefix)) continue;
    const auto [last, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
    if (error != std::errc() || last != name.data() + name.size()) continue;
    std::error_code ignored;
    if (entry->symlink_status(ignored).type() != std::filesystem::file_type::directory) continue;
    found.emplace_back(step, entry->path());
  }
  if (code) fail_to("read", folder, code.value());  // not the same as nothing there: the run would start anew
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::string folder_digest(const std::filesystem::path& folder) {
  return sha256_hex(sha256_of_file(folder / "rows.safetensors") + sha256_of_file(folder / "state.json"));
}

/// False when a file is missing or its bytes are others. Throws Error when one is there and cannot be read.
bool complete(const std::filesystem::path& folder) {
  for (const char* name : kCheckpointFiles) {
    std::error_code ignored;
    if (!std::filesystem::exists(folder / name, ignored) && !ignored) return false;
  }
  return MappedFile::open(folder / "digest")->text() == folder_digest(folder);
}

/// Takes away our files, the digest first: what is left is no checkpoint. The folder goes if nothing else is in it.
void remove_checkpoint(const std::filesystem::path& folder) {
  std::error_code ignored;
  for (const char* name : kCheckpointFiles) ::unlink((folder / name).c_str());
  std::filesystem::remove(folder, ignored);
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

int64_t newest_checkpoint_step(const std::filesystem::path& run) {
  const auto found = list_checkpoints(run);
  return found.empty() ? 0 : found.front().first;
}

bool has_checkpoint(const std::filesystem::path& run) {
  const auto all = list_checkpoints(run);
  return std::any_of(all.begin(), all.end(), [](const auto& checkpoint) {
    const std::filesystem::path state = checkpoint.second / "state.json";
    std::error_code ignored;
    return std::filesystem::is_regular_file(state, ignored) &&
           MappedFile::open(state)->text().find("\"loraxs-checkpoint-") != std::string_view::npos;
  });
}

void write_checkpoint(const std::filesystem::path& run, const TrainingState& state, const RunIdentity& identity) {
  nlohmann::json json = state_to_json(state);
  json.update({{"format", kCheckpointFormat}, {"content", identity.content}, {"numerics", identity.numerics}});
  make_folder(run / "checkpoints");
  const auto fill = [&](const std::filesystem::path& folder) {
    std::map<std::string, TensorBytes> rows;
    for (const auto& [name, member] : tensors()) {
      const torch::Tensor& tensor = state.*member;
      if (!tensor.defined()) continue;
      TORCH_CHECK(tensor.is_contiguous() && tensor.device().is_cpu(), "checkpoint: ", name);
      rows[name] = {.dtype = tensor.scalar_type() == torch::kFloat64 ? Dtype::kFloat64 : Dtype::kFloat32,
                    .shape = tensor.sizes().vec(),
                    .bytes = std::span(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes())};
    }
    write_safetensors(folder / "rows.safetensors", rows, {{"format", kCheckpointFormat}});
    write_file_atomically(folder / "state.json", json.dump(1) + "\n");
    write_file_atomically(folder / "digest", folder_digest(folder));
  };
  write_folder_atomically(run / "checkpoints" / concat("step-", state.step), fill, Existing::kReplaced);
  bool kept = false;  // one before this, in case this one gets damaged
  for (const auto& [step, folder] : list_checkpoints(run)) {
    if (step == state.step) continue;
    if (step < state.step && !kept) {  // what this run wrote or went on from: whole
      kept = true;
    } else {  // a later one is damaged: else the run would have gone on from it
      remove_checkpoint(folder);
    }
  }
}

std::optional<TrainingState> read_newest_checkpoint(const std::filesystem::path& run, const RunIdentity& identity,
                                                    bool allow_drift, const TrainingState& fresh) {
  for (const auto& [step, folder] : list_checkpoints(run)) {
    if (!complete(folder)) continue;
    const std::string where = (folder / "state.json").string();
    const nlohmann::json json = read_json(where);
    Fields fields(json, where);
    fields.ignore_unknown();
    if (const std::string format = fields.text("format", "");
        format != kCheckpointFormat && format != kLastCheckpointFormat) {
      throw Error(concat(where, ": format: expected ", kCheckpointFormat, ", found ", format));
    }
    if (fields.text("content", "") != identity.content) {
      throw Error(concat(folder.string(),
                         ": expected a checkpoint of this recipe, model and data, found one of another; "
                         "resume with the recipe it was started with, or choose another output"));
    }
    const std::string numerics = fields.text("numerics", "");
    if (numerics != identity.numerics && !allow_drift) {
      throw Error(concat(folder.string(), ": expected numerics \"", identity.numerics, "\", found \"", numerics,
                         "\"; the same bits will not come back here: resume with --allow-drift to accept that"));
    }
    try {
      TrainingState state = state_from_json(json, fresh, where);
      read_rows(folder / "rows.safetensors", state, fresh);
      return state;
    } catch (const nlohmann::json::exception& error) {
      throw Error(concat(where, ": expected the state of a run, found other fields: ", error.what()));
    }
  }
  return std::nullopt;
}

}  // namespace loraxs
