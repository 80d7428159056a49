#include "train/run_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io/atomic_file.h"
#include "io/error.h"

namespace loraxs {

RunFolder::RunFolder(std::filesystem::path path, const std::string& recipe_text, bool resume) : path_(std::move(path)) {
  if (std::filesystem::exists(path_) && !resume) {
    throw Error(concat(path_.string(),
                       ": expected no run there, found one; continue it with --resume, or choose another output"));
  }
  std::error_code code;
  std::filesystem::create_directories(path_, code);
  if (code)
    throw Error(concat(path_.string(), ": cannot create: ", code.message(), "; choose an output you may write to"));
  check_writable(path_);
  for (const std::filesystem::path& folder : {path_, path_ / "checkpoints"}) {
    if (!std::filesystem::is_directory(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().filename().string().starts_with(".")) std::filesystem::remove_all(entry.path());
    }
  }
  if (!std::filesystem::exists(path_ / "recipe.yaml")) write_file_atomically(path_ / "recipe.yaml", recipe_text);
  const std::filesystem::path metrics = path_ / "metrics.jsonl";
  metrics_ = ::open(metrics.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (metrics_ < 0) throw Error(concat(metrics.string(), ": cannot open: ", std::strerror(errno)));
}

RunFolder::~RunFolder() {
  if (metrics_ >= 0) ::close(metrics_);
}

void RunFolder::truncate_metrics(uint64_t bytes) {
  if (::ftruncate(metrics_, static_cast<off_t>(bytes)) != 0 ||
      ::lseek(metrics_, static_cast<off_t>(bytes), SEEK_SET) < 0) {
    throw Error(
        concat((path_ / "metrics.jsonl").string(), ": cannot cut to ", bytes, " bytes: ", std::strerror(errno)));
  }
}

void RunFolder::append_metrics(const nlohmann::json& event) {
  const std::string line = event.dump() + "\n";
  size_t written = 0;
  while (written < line.size()) {
    const ssize_t count = ::write(metrics_, line.data() + written, line.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      throw Error(concat((path_ / "metrics.jsonl").string(), ": cannot write: ", std::strerror(errno),
                         "; free some space and continue with --resume"));
    written += static_cast<size_t>(count);
  }
}

uint64_t RunFolder::sync_metrics() {
  if (::fsync(metrics_) != 0)
    throw Error(concat((path_ / "metrics.jsonl").string(), ": cannot sync: ", std::strerror(errno)));
  return static_cast<uint64_t>(::lseek(metrics_, 0, SEEK_CUR));
}

}  // namespace loraxs
