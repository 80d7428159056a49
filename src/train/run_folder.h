// train/run_folder.h: the folder of a run: recipe, metrics, checkpoints, adapters.
#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace loraxs {

class RunFolder {
 public:
  /// Creates the folder with recipe.yaml. An existing run is refused unless `resume` (then it is opened, or created if
  /// it is absent). Leftovers of interrupted writes are removed. Throws Error.
  RunFolder(std::filesystem::path path, const std::string& recipe_text, bool resume);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Cuts metrics.jsonl to what belongs to the state that is resumed.
  void truncate_metrics(uint64_t bytes);
  /// Appends one line to metrics.jsonl; it is on disk after sync_metrics().
  void append_metrics(const nlohmann::json& event);
  /// Syncs metrics.jsonl and returns its length.
  uint64_t sync_metrics();

 private:
  std::filesystem::path path_;
  int metrics_ = -1;  // file descriptor
};

}  // namespace loraxs
