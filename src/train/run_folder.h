// train/run_folder.h: the folder of a run: recipe, metrics, TensorBoard events, checkpoints, adapters.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "io/append_file.h"

namespace loraxs {

/// Throws Error unless a run may be written to `path`: nothing or an empty folder is there, or, to `resume` it, a run
/// of ours: a checkpoint that we wrote, or two of recipe.yaml, .loraxs-run and events.out.tfevents.loraxs. Whatever
/// else is there is refused, resumed or not. Asked before long work; RunFolder asks again.
void check_run_output(const std::filesystem::path& path, bool resume);

/// Holds the run while it lives: a second process is refused, and a killed one lets go. What it deletes in the folder
/// are leftovers of interrupted writes (io/unfinished.h); what it overwrites, and never through a link, are its own
/// files: metrics.jsonl and the event file.
class RunFolder {
 public:
  /// Creates the folder with recipe.yaml, or opens a run to resume it; an existing recipe.yaml stays. Throws Error as
  /// check_run_output, and when another process holds the run.
  RunFolder(std::filesystem::path path, const std::string& recipe_text, bool resume);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Cuts metrics.jsonl to what belongs to the state that is resumed, `bytes`, and makes the event file anew from it.
  /// Returns how much of that was there: less where the file was lost or damaged, and then whole lines. Before the
  /// first append_metrics.
  uint64_t start_metrics(uint64_t bytes);
  /// Appends one line to metrics.jsonl, and its numbers to the event file; on disk after sync_metrics().
  void append_metrics(const nlohmann::json& event);
  /// Syncs metrics.jsonl and returns its length.
  uint64_t sync_metrics();

 private:
  std::filesystem::path path_;
  int lock_ = -1;
  std::unique_ptr<AppendFile> metrics_, events_;
};

}  // namespace loraxs
