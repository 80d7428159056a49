// train/run_folder.h: the folder of a run: recipe, metrics, TensorBoard events, checkpoints, adapters.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "io/append_file.h"

namespace loraxs {

/// Throws Error when something is at `path`: a run is continued or kept, never overwritten.
void refuse_existing_run(const std::filesystem::path& path);

class RunFolder {
 public:
  /// Creates the folder with recipe.yaml. An existing run is refused unless `resume` (then it is opened, or created if
  /// it is absent). Leftovers of interrupted writes are removed. Throws Error.
  RunFolder(std::filesystem::path path, const std::string& recipe_text, bool resume);

  const std::filesystem::path& path() const { return path_; }
  /// Cuts metrics.jsonl to what belongs to the state that is resumed, and makes the event file anew from it.
  void truncate_metrics(uint64_t bytes);
  /// Appends one line to metrics.jsonl, and its numbers to the event file; on disk after sync_metrics().
  void append_metrics(const nlohmann::json& event);
  /// Syncs metrics.jsonl and returns its length.
  uint64_t sync_metrics();

 private:
  std::filesystem::path path_;
  std::unique_ptr<AppendFile> metrics_, events_;
};

}  // namespace loraxs
