#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/safetensors.h"
#include "io/sha256.h"
#include "model/base_model.h"

namespace loraxs {
namespace {

constexpr size_t kKept = 2;  // checkpoints: one to resume from, one in case the newest is damaged

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

/// Folders checkpoints/step-N, newest first.
std::vector<std::pair<int64_t, std::filesystem::path>> list_checkpoints(const std::filesystem::path& run) {
  std::vector<std::pair<int64_t, std::filesystem::path>> found;
  const std::filesystem::path folder = run / "checkpoints";
  if (!std::filesystem::is_directory(folder)) return found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    int64_t step = 0;
    const std::string prefix = "step-";
    if (!name.starts_with(prefix)) continue;
    const auto [end, code] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
    if (code == std::errc() && end == name.data() + name.size()) found.emplace_back(step, entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::string folder_digest(const std::filesystem::path& folder) {
  return sha256_hex(sha256_of_file(folder / "rows.safetensors") + sha256_of_file(folder / "state.json"));
}

bool complete(const std::filesystem::path& folder) {
  try {
    return MappedFile::open(folder / "digest")->text() == folder_digest(folder);
  } catch (const Error&) {
    return false;
  }
}

nlohmann::json to_json(const BestEpoch& best) {
  return {{"step", best.step},
          {"epoch", best.epoch},
          {"value", best.value},
          {"validation", best.validation ? nlohmann::json(*best.validation) : nlohmann::json()},
          {"stale", best.stale}};
}

BestEpoch best_from_json(const nlohmann::json& json) {
  BestEpoch best{
      .step = json.at("step"), .epoch = json.at("epoch"), .value = json.at("value"), .stale = json.at("stale")};
  if (!json.at("validation").is_null()) best.validation = json.at("validation").get<double>();
  return best;
}

}  // namespace

void write_checkpoint(const std::filesystem::path& run, const TrainingState& state, const RunIdentity& identity) {
  nlohmann::json best = nlohmann::json::array();
  for (const BestEpoch& entry : state.best) best.push_back(to_json(entry));
  const nlohmann::json json = {{"format", "loraxs-checkpoint-2"},
                               {"content", identity.content},
                               {"numerics", identity.numerics},
                               {"step", state.step},
                               {"best", best},
                               {"job_steps", state.job_steps},
                               {"loss_sums", state.loss_sums},
                               {"epoch_losses", state.epoch_losses},
                               {"loss_steps", state.loss_steps},
                               {"metrics_bytes", state.metrics_bytes},
                               {"train_seconds", state.train_seconds},
                               {"sentences", state.sentences},
                               {"tokens", state.tokens}};
  std::filesystem::create_directories(run / "checkpoints");
  write_folder_atomically(run / "checkpoints" / concat("step-", state.step), [&](const std::filesystem::path& folder) {
    std::map<std::string, TensorBytes> rows;
    for (const auto& [name, member] : tensors()) {
      const torch::Tensor& tensor = state.*member;
      if (!tensor.defined()) continue;
      TORCH_CHECK(tensor.is_contiguous() && tensor.device().is_cpu(), "checkpoint: ", name);
      rows[name] = {.dtype = tensor.scalar_type() == torch::kFloat64 ? Dtype::kFloat64 : Dtype::kFloat32,
                    .shape = tensor.sizes().vec(),
                    .bytes = std::span(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes())};
    }
    write_safetensors(folder / "rows.safetensors", rows, {{"format", "loraxs-checkpoint-2"}});
    write_file_atomically(folder / "state.json", json.dump(1) + "\n");
    write_file_atomically(folder / "digest", folder_digest(folder));
  });
  const auto all = list_checkpoints(run);
  for (size_t i = kKept; i < all.size(); ++i) std::filesystem::remove_all(all[i].second);
}

std::optional<TrainingState> read_newest_checkpoint(const std::filesystem::path& run, const RunIdentity& identity,
                                                    bool allow_drift) {
  for (const auto& [step, folder] : list_checkpoints(run)) {
    if (!complete(folder)) continue;
    Fields fields(read_json(folder / "state.json"), (folder / "state.json").string());
    fields.ignore_unknown();
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
    TrainingState state;
    state.step = fields.non_negative_int("step", 0);
    for (const auto& entry : fields.raw("best")) state.best.push_back(best_from_json(entry));
    state.job_steps = fields.raw("job_steps").get<std::vector<int64_t>>();
    state.loss_sums = fields.raw("loss_sums").get<std::vector<double>>();
    state.epoch_losses = fields.raw("epoch_losses").get<std::vector<double>>();
    state.loss_steps = fields.non_negative_int("loss_steps", 0);
    state.metrics_bytes = static_cast<uint64_t>(fields.non_negative_int("metrics_bytes", 0));
    state.train_seconds = fields.non_negative_number("train_seconds", 0);
    state.sentences = fields.non_negative_int("sentences", 0);
    state.tokens = fields.non_negative_int("tokens", 0);
    const Safetensors rows = read_safetensors(folder / "rows.safetensors");
    for (const auto& [name, member] : tensors()) {
      if (rows.tensors.contains(name)) state.*member = view_tensor(rows.at(name)).clone();
    }
    return state;
  }
  return std::nullopt;
}

}  // namespace loraxs
