#include "train/fleet_state.h"

#include "io/error.h"
#include "io/safetensors.h"
#include "model/base_model.h"
#include "train/state_json.h"

namespace loraxs {
namespace {

constexpr const char* kFleetFormat = "loraxs-fleet-1";

/// The counters, each under its name.
template <typename Progress, typename Visit>
void visit_progress(Progress& progress, Visit visit) {
  visit("taken", progress.taken);
  visit("done", progress.done);
  visit("kept", progress.kept);
  visit("failed", progress.failed);
  visit("rounds", progress.rounds);
  visit("steps", progress.steps);
  visit("sentences", progress.sentences);
  visit("tokens", progress.tokens);
  visit("seconds", progress.seconds);
  visit("saves", progress.saves);
  visit("metrics_bytes", progress.metrics_bytes);
  visit("lines_bytes", progress.lines_bytes);
}

/// An active job's tensors, each under its name.
template <typename Job, typename Visit>
void visit_tensors(Job& job, Visit visit) {
  visit("values", job.values);
  visit("first_moments", job.first_moments);
  visit("second_moments", job.second_moments);
  visit("best", job.best);
  visit("importance", job.importance);
  visit("uncertainty", job.uncertainty);
}

nlohmann::json to_json(const FinishedRow& row) {
  const AdapterProvenance& from = row.provenance;
  const HeadLayout& head = row.layout->head;
  return {{"tenant", row.tenant},
          {"name", row.name},
          {"labels", row.labels},
          {"alpha", row.alpha},
          {"head",
           {{"kind", head.kind}, {"dense", head.dense}, {"outputs", head.outputs}, {"regression", head.regression}}},
          {"task", from.task},
          {"tokenizer", from.tokenizer_digest},
          {"max_length", from.max_length},
          {"precision", from.precision},
          {"gemm", from.gemm_record},
          {"summary", from.summary}};
}

HeadLayout head_from_json(const nlohmann::json& json) {
  return {.kind = json.at("kind"),
          .dense = json.at("dense"),
          .outputs = json.at("outputs"),
          .regression = json.at("regression")};
}

FinishedRow row_from_json(const nlohmann::json& json) {
  return {.tenant = json.at("tenant"),
          .name = json.at("name"),
          .labels = json.at("labels"),
          .alpha = json.at("alpha"),
          .provenance = {.task = json.at("task"),
                         .tokenizer_digest = json.at("tokenizer"),
                         .max_length = json.at("max_length"),
                         .precision = json.at("precision"),
                         .gemm_record = json.at("gemm"),
                         .summary = json.at("summary")}};
}

/// Of the shape that its place needs; `size` < 0: any.
torch::Tensor read_row(const Safetensors& rows, const std::string& name, int64_t size, const std::string& where) {
  torch::Tensor row = view_tensor(rows.at(name)).clone();
  if (row.dim() != 1 || (size >= 0 && row.size(0) != size) || !row.is_floating_point()) {
    throw Error(concat(where, ": ", name, ": expected a row of ", size, " numbers, found ", row.sizes()));
  }
  return row;
}

}  // namespace

void FleetCurve::add(int64_t step, double loss, std::optional<double> value) {
  if (seen++ % every != 0) return;
  points.push_back({step, loss, value ? nlohmann::json(*value) : nlohmann::json()});
  if (points.size() <= kMost) return;
  nlohmann::json kept = nlohmann::json::array();
  for (size_t i = 0; i < points.size(); i += 2) kept.push_back(points[i]);
  points = std::move(kept);
  every *= 2;
}

void write_fleet_state(const std::filesystem::path& run, const FleetState& state, const RunIdentity& identity) {
  nlohmann::json json = {{"jobs", state.jobs}};
  visit_progress(state.progress, [&](const char* name, const auto& value) { json[name] = value; });
  CheckpointTensors tensors;
  nlohmann::json& active = json["active"] = nlohmann::json::array();
  for (const FleetJobState& job : state.active) {
    active.push_back({{"index", job.index},
                      {"digest", job.digest},
                      {"state", job_state_to_json(job.state)},
                      {"curve", job.curve.points},
                      {"curve_every", job.curve.every},
                      {"curve_seen", job.curve.seen}});
    visit_tensors(job, [&](const char* name, const torch::Tensor& tensor) {
      if (tensor.defined()) tensors[concat(job.index, ".", name)] = tensor;
    });
  }
  nlohmann::json& finished = json["finished"] = nlohmann::json::array();
  for (size_t i = 0; i < state.finished.size(); ++i) {
    finished.push_back(to_json(state.finished[i]));
    tensors[concat("finished.", i)] = state.finished[i].row;
  }
  write_checkpoint_folder(run, state.progress.saves, kFleetFormat, std::move(json), tensors, identity);
}

std::optional<FleetState> read_fleet_state(
    const std::filesystem::path& run, const RunIdentity& identity, bool allow_drift,
    const std::function<std::shared_ptr<const Layout>(const HeadLayout&)>& layout_of) {
  std::optional<FleetState> found;
  const auto read = [&](const nlohmann::json& json, const std::filesystem::path& path, const std::string& where) {
    FleetState state{.jobs = json.at("jobs")};
    visit_progress(state.progress, [&](const char* name, auto& value) {
      if (json.contains(name)) json.at(name).get_to(value);  // programs before `kept` counted none
    });
    const Safetensors rows = read_safetensors(path);
    for (const nlohmann::json& entry : json.at("active")) {
      FleetJobState& job = state.active.emplace_back(FleetJobState{
          .index = entry.at("index"), .digest = entry.at("digest"), .state = job_state_from_json(entry.at("state"))});
      job.curve.points = entry.at("curve");
      job.curve.every = entry.at("curve_every");
      job.curve.seen = entry.at("curve_seen");
      visit_tensors(job, [&](const char* name, torch::Tensor& tensor) {
        const std::string full = concat(job.index, ".", name);
        if (rows.tensors.contains(full)) tensor = read_row(rows, full, -1, where);
      });
    }
    for (const nlohmann::json& entry : json.at("finished")) {
      FinishedRow row = row_from_json(entry);
      row.layout = layout_of(head_from_json(entry.at("head")));
      row.row = read_row(rows, concat("finished.", state.finished.size()), row.layout->row_size, where);
      state.finished.push_back(std::move(row));
    }
    found = std::move(state);
  };
  read_newest_checkpoint_folder(run, {kFleetFormat}, identity, allow_drift, read);
  return found;
}

}  // namespace loraxs
