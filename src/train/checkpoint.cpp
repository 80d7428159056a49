#include "train/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/safetensors.h"
#include "io/sha256.h"
#include "io/system_error.h"
#include "model/base_model.h"

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

/// JSON has no numbers that are not finite: they are "nan", "inf" and "-inf".
nlohmann::json number_to_json(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

double number_from_json(const nlohmann::json& json) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (json.is_null()) return std::numeric_limits<double>::quiet_NaN();  // as checkpoint-2 wrote all three
  if (json == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (json == "inf" || json == "-inf") return json == "inf" ? kInfinity : -kInfinity;
  return json.get<double>();
}

nlohmann::json numbers_to_json(const std::vector<double>& values) {
  nlohmann::json json = nlohmann::json::array();
  for (const double value : values) json.push_back(number_to_json(value));
  return json;
}

std::vector<double> numbers_from_json(const nlohmann::json& json) {
  std::vector<double> values;
  for (const nlohmann::json& value : json) values.push_back(number_from_json(value));
  return values;
}

nlohmann::json to_json(const BestEpoch& best) {
  return {{"step", best.step},
          {"epoch", best.epoch},
          {"value", number_to_json(best.value)},
          {"validation", best.validation ? number_to_json(*best.validation) : nlohmann::json()},
          {"stale", best.stale}};
}

BestEpoch best_from_json(const nlohmann::json& json) {
  BestEpoch best{.step = json.at("step"),
                 .epoch = json.at("epoch"),
                 .value = number_from_json(json.at("value")),
                 .stale = json.at("stale")};
  if (!json.at("validation").is_null()) best.validation = number_from_json(json.at("validation"));
  return best;
}

nlohmann::json to_json(const std::optional<JobEnd>& end) {
  return end ? nlohmann::json{{"step", end->step}, {"reason", end->reason}} : nlohmann::json();
}

/// The counters and what is kept per job. Throws nlohmann's exceptions for other types than are written.
TrainingState state_from_json(const nlohmann::json& json, const TrainingState& fresh) {
  TrainingState state;
  state.step = json.at("step");
  for (const nlohmann::json& entry : json.at("best")) state.best.push_back(best_from_json(entry));
  state.job_steps = json.at("job_steps").get<std::vector<int64_t>>();
  state.loss_sums = numbers_from_json(json.at("loss_sums"));
  state.epoch_losses = numbers_from_json(json.at("epoch_losses"));
  state.last_losses = json.contains("last_losses") ? numbers_from_json(json.at("last_losses")) : fresh.last_losses;
  state.ended.resize(fresh.ended.size());
  if (json.contains("ended")) {
    state.ended.clear();
    for (const nlohmann::json& end : json.at("ended")) {
      state.ended.emplace_back();
      if (!end.is_null()) state.ended.back() = JobEnd{.step = end.at("step"), .reason = end.at("reason")};
    }
  }
  state.loss_steps = json.at("loss_steps");
  state.metrics_bytes = json.at("metrics_bytes");
  state.train_seconds = json.at("train_seconds");
  state.sentences = json.at("sentences");
  state.tokens = json.at("tokens");
  return state;
}

void check_jobs(const TrainingState& state, const TrainingState& fresh, const std::string& where) {
  for (const auto& [name, found] : {std::pair{"best", state.best.size()},
                                    {"job_steps", state.job_steps.size()},
                                    {"loss_sums", state.loss_sums.size()},
                                    {"epoch_losses", state.epoch_losses.size()},
                                    {"last_losses", state.last_losses.size()},
                                    {"ended", state.ended.size()}}) {
    if (found == fresh.best.size()) continue;
    throw Error(concat(where, ": ", name, ": expected ", fresh.best.size(), " entries, one per job, found ", found));
  }
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
  nlohmann::json best = nlohmann::json::array(), ended = nlohmann::json::array();
  for (const BestEpoch& entry : state.best) best.push_back(to_json(entry));
  for (const auto& entry : state.ended) ended.push_back(to_json(entry));
  const nlohmann::json json = {{"format", kCheckpointFormat},
                               {"content", identity.content},
                               {"numerics", identity.numerics},
                               {"step", state.step},
                               {"best", best},
                               {"ended", ended},
                               {"job_steps", state.job_steps},
                               {"loss_sums", numbers_to_json(state.loss_sums)},
                               {"epoch_losses", numbers_to_json(state.epoch_losses)},
                               {"last_losses", numbers_to_json(state.last_losses)},
                               {"loss_steps", state.loss_steps},
                               {"metrics_bytes", state.metrics_bytes},
                               {"train_seconds", state.train_seconds},
                               {"sentences", state.sentences},
                               {"tokens", state.tokens}};
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
      TrainingState state = state_from_json(json, fresh);
      check_jobs(state, fresh, where);
      read_rows(folder / "rows.safetensors", state, fresh);
      return state;
    } catch (const nlohmann::json::exception& error) {
      throw Error(concat(where, ": expected the state of a run, found other fields: ", error.what()));
    }
  }
  return std::nullopt;
}

}  // namespace loraxs
