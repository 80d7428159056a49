// eval/answers_file.h: the answers of an evaluation, a JSON line each, so that it goes on where it was.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "io/append_file.h"

namespace loraxs {

/// The first line holds {"settings": {…}} and, for people, what `about` says beside it; every other one {"index":
/// example, …}. A last line that was not finished is cut off: whatever moment a run ends at, the next one asks only for
/// what is missing.
class AnswersFile {
 public:
  /// Opens or creates. Throws Error for a file begun with other settings (it names the first that differs), one that
  /// is no such file, and a damaged line.
  AnswersFile(const std::filesystem::path& path, const nlohmann::ordered_json& settings,
              const nlohmann::ordered_json& about = nlohmann::ordered_json::object());

  /// What was there, by index.
  const std::map<int64_t, nlohmann::ordered_json>& records() const { return records_; }
  /// Writes a line; `record` has its "index".
  void append(const nlohmann::ordered_json& record);

 private:
  void read(const std::filesystem::path& path, const nlohmann::ordered_json& settings);
  AppendFile file_;
  std::map<int64_t, nlohmann::ordered_json> records_;
};

}  // namespace loraxs
