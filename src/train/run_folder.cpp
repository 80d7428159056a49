#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/system_error.h"
#include "io/unfinished.h"
#include "train/checkpoint.h"
#include "train/event_file.h"

namespace loraxs {
namespace {

constexpr const char* kLock = ".loraxs-run";  // the first file of a run, and never removed
constexpr const char* kRecipe = "recipe.yaml";
constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kEvents = "events.out.tfevents.loraxs";

enum class Found { kNothing, kRun, kOther };

bool has_file(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type() == std::filesystem::file_type::regular;
}

/// Two of the three files that every run has from its start, so that one of them may be lost; runs of versions without
/// a lock file have their event file, and those of the first version checkpoints.
bool is_run(const std::filesystem::path& path) {
  const int marks = has_file(path / kLock) + has_file(path / kRecipe) + has_file(path / kEvents);
  return marks > 1 || has_checkpoint(path);
}

/// What is at `path`; `name` becomes something that is not ours in it.
Found look_at(const std::filesystem::path& path, std::string& name) {
  std::error_code code;
  const auto type = std::filesystem::symlink_status(path, code).type();
  if (type == std::filesystem::file_type::not_found) return Found::kNothing;
  if (!std::filesystem::is_directory(path, code)) {
    name = type == std::filesystem::file_type::regular ? "a file" : "something else";
    return Found::kOther;
  }
  for (std::filesystem::directory_iterator entry(path, code), end; entry != end; entry.increment(code)) {
    const std::string found = entry->path().filename().string();
    if (found == kLock || is_unfinished_name(found)) continue;  // of a run that was killed when it began
    if (is_run(path)) return Found::kRun;
    name = "a folder with " + found;
    return Found::kOther;
  }
  if (code) fail_to("read", path, code.value());
  return Found::kNothing;
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// TensorBoard's form of a line of metrics.jsonl: "loss/JOB" by step; "epoch_loss/JOB" and "METRIC/JOB" by evaluation;
/// of a fleet "fleet/active" and so on.
/// Numbers that are not finite stand there as null and are left out.
std::string scalar_events(const nlohmann::json& line) {
  const double now = wall_time();
  const int64_t step = line.at("step");
  std::string events;
  const auto add = [&](const std::string& tag, double value) {
    events += scalar_event(now, step, tag, static_cast<float>(value));
  };
  if (line.at("event") == "step") {
    for (const auto& [job, loss] : line.at("loss").items()) {
      if (loss.is_number()) add("loss/" + job, loss);
    }
    add("schedule", line.at("schedule"));
    return events;
  }
  if (line.at("event") == "fleet") {
    for (const auto& [key, value] : line.items()) {
      if (value.is_number() && key != "step") add("fleet/" + key, value);
    }
    return events;
  }
  if (line.at("event") != "evaluation") return events;
  const std::string job = line.at("job");
  for (const auto& [key, value] : line.items()) {
    if (value.is_number_float()) add((key == "loss" ? "epoch_loss" : key) + "/" + job, value);
  }
  return events;
}

/// The lines of metrics.jsonl up to `bytes`, whole ones where the file is shorter. Empty when it is gone.
std::string lines_until(const std::filesystem::path& path, uint64_t bytes) {
  if (bytes == 0 || !has_file(path)) return "";
  std::string text(MappedFile::open(path)->text());
  if (text.size() >= bytes) return text.substr(0, bytes);
  return text.substr(0, text.rfind('\n') + 1);
}

}  // namespace

void check_run_output(const std::filesystem::path& path, bool resume) {
  std::string name;
  const Found found = look_at(path, name);
  if (found == Found::kOther) {
    throw Error(concat(path.string(), ": expected nothing, an empty folder or a run of loraxs there, found ", name,
                       "; choose another output"));
  }
  if (found == Found::kRun && !resume) {
    throw Error(concat(path.string(),
                       ": expected no run there, found one; continue it with --resume, or choose another output: --set "
                       "output=FOLDER"));
  }
}

RunFolder::RunFolder(std::filesystem::path path, const std::string& recipe_text, bool resume) : path_(std::move(path)) {
  check_run_output(path_, resume);
  std::error_code code;
  std::filesystem::create_directories(path_, code);
  if (code)
    throw Error(concat(path_.string(), ": cannot create: ", code.message(), "; choose an output you may write to"));
  lock_ = ::open((path_ / kLock).c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
  if (lock_ < 0) fail_to("create", path_ / kLock, errno);
  try {
    // A file system without locks trains without: only a second process could suffer.
    if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw Error(concat(path_.string(), ": expected a run that nobody trains, found one that another process holds; ",
                         "wait for it to end, or choose another output"));
    }
    check_run_output(path_, resume);  // it may have come while we waited for nobody
    remove_unfinished(path_);
    for (std::filesystem::directory_iterator entry(path_, code), end; entry != end; entry.increment(code)) {
      if (entry->symlink_status(code).type() == std::filesystem::file_type::directory) remove_unfinished(entry->path());
    }
    if (!has_file(path_ / kRecipe)) write_file_atomically(path_ / kRecipe, recipe_text);
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

RunFolder::~RunFolder() { ::close(lock_); }

uint64_t RunFolder::start_metrics(uint64_t bytes) {
  const std::string kept = lines_until(path_ / kMetrics, bytes);
  std::string events = event_file_header(wall_time());
  for (size_t begin = 0; begin < kept.size();) {
    const size_t end = kept.find('\n', begin);
    const std::string line = kept.substr(begin, end - begin);
    try {
      events += scalar_events(json_or_null(line));
    } catch (const nlohmann::json::exception&) {
      throw Error(concat((path_ / kMetrics).string(), ": expected a line of metrics, found ", line.substr(0, 60),
                         "; the file is damaged: the run continues without it if you remove it"));
    }
    begin = std::min(end, kept.size() - 1) + 1;
  }
  // Written anew, not cut: what else links to the old bytes keeps them.
  write_file_atomically(path_ / kMetrics, kept, Existing::kReplaced);
  write_file_atomically(path_ / kEvents, events, Existing::kReplaced);
  metrics_ = std::make_unique<AppendFile>(path_ / kMetrics);
  events_ = std::make_unique<AppendFile>(path_ / kEvents);
  return kept.size();
}

void RunFolder::append_metrics(const nlohmann::json& event) {
  metrics_->append(event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  events_->append(scalar_events(event));
}

uint64_t RunFolder::sync_metrics() { return metrics_->sync(); }

}  // namespace loraxs
