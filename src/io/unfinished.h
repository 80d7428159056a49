// io/unfinished.h: files and folders in the making, under a name that is ours alone and a lock that says whose.
#pragma once
#include <filesystem>
#include <string>

namespace loraxs {

/// A fresh file or folder ".loraxs-unfinished-XXXXXX", to be filled and then renamed. Locked while the object lives, so
/// that no other process takes it for a leftover. What stands under its name at the end is removed with all it holds:
/// nothing, once it was renamed; what it was exchanged with, if that is what happened.
class Unfinished {
 public:
  enum class Kind { kFile, kFolder };
  /// In the folder of `place`, which errors name. Throws Error.
  Unfinished(const std::filesystem::path& place, Kind kind);
  ~Unfinished();
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// Whether a file name carries the mark of an Unfinished: the whole of it, the six random characters included.
bool is_unfinished_name(const std::string& name);

/// Removes what processes that are gone left in `folder` itself: regular files and folders of that name which nobody
/// holds, no link and nothing else. What cannot be removed stays: a leftover is no error.
void remove_unfinished(const std::filesystem::path& folder);

}  // namespace loraxs
