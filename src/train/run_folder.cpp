#include "train/run_folder.h"

#include <chrono>
#include <fstream>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "train/event_file.h"

namespace loraxs {
namespace {

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// TensorBoard's form of a line of metrics.jsonl: "loss/JOB" by step; "epoch_loss/JOB" and "METRIC/JOB" by evaluation.
std::string scalar_events(const nlohmann::json& line) {
  const double now = wall_time();
  const int64_t step = line.at("step");
  std::string events;
  const auto add = [&](const std::string& tag, double value) {
    events += scalar_event(now, step, tag, static_cast<float>(value));
  };
  if (line.at("event") == "step") {
    for (const auto& [job, loss] : line.at("loss").items()) add("loss/" + job, loss);
    add("schedule", line.at("schedule"));
    return events;
  }
  if (line.at("event") != "evaluation") return events;
  const std::string job = line.at("job");
  for (const auto& [key, value] : line.items()) {
    if (key == "loss") {
      add("epoch_loss/" + job, value);
    } else if (value.is_number_float()) {
      add(key + "/" + job, value);
    }
  }
  return events;
}

}  // namespace

void refuse_existing_run(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return;
  throw Error(
      concat(path.string(), ": expected no run there, found one; continue it with --resume, or choose another output"));
}

RunFolder::RunFolder(std::filesystem::path path, const std::string& recipe_text, bool resume) : path_(std::move(path)) {
  if (!resume) refuse_existing_run(path_);
  std::error_code code;
  std::filesystem::create_directories(path_, code);
  if (code)
    throw Error(concat(path_.string(), ": cannot create: ", code.message(), "; choose an output you may write to"));
  check_writable(path_);
  for (const std::filesystem::path& folder : {path_, path_ / "checkpoints"}) {
    if (!std::filesystem::is_directory(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().filename().string().starts_with('.')) std::filesystem::remove_all(entry.path());
    }
  }
  if (!std::filesystem::exists(path_ / "recipe.yaml")) write_file_atomically(path_ / "recipe.yaml", recipe_text);
  metrics_ = std::make_unique<AppendFile>(path_ / "metrics.jsonl");
  events_ = std::make_unique<AppendFile>(path_ / "events.out.tfevents.loraxs");
}

void RunFolder::truncate_metrics(uint64_t bytes) {
  metrics_->cut(bytes);
  events_->cut(0);
  events_->append(event_file_header(wall_time()));
  std::ifstream lines(metrics_->path());
  for (std::string line; std::getline(lines, line);)
    events_->append(scalar_events(parse_json(line, metrics_->path().string())));
}

void RunFolder::append_metrics(const nlohmann::json& event) {
  metrics_->append(event.dump() + "\n");
  events_->append(scalar_events(event));
}

uint64_t RunFolder::sync_metrics() { return metrics_->sync(); }

}  // namespace loraxs
