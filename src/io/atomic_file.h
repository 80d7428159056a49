// io/atomic_file.h: files and folders that are complete or absent, never half-written, and never in the place of
// somebody else's.
#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace loraxs {

/// What a write does with what stands at its path already. Whatever a user names as an output is kRefused: a file, a
/// folder and a link, one that leads nowhere too, is then left as it is, also if it came while the work was going on.
/// kReplaced is for paths that are ours: inside a run that we hold, and in the cache. A link is then replaced itself,
/// never written through, and a file's other hard links keep their bytes.
enum class Existing { kRefused, kReplaced };

/// Throws Error when anything is at `path`, or its folder cannot be written; `option` is named in the hint. Asked
/// before long work; the write itself refuses too.
void refuse_existing(const std::filesystem::path& path, const std::string& option);

/// Throws Error when `path` lies in the folder `input` or below it (links resolved): what a command reads stays as it
/// is.
void refuse_inside(const std::filesystem::path& path, const std::filesystem::path& input, const std::string& option);

/// Writes `bytes` beside `path`, syncs, renames to `path`, syncs the folder. After a crash at any moment `path` is as
/// it was or holds the new bytes. Throws Error (read-only folder, full disk, …) and leaves nothing behind.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes,
                           Existing existing = Existing::kRefused);
void write_file_atomically(const std::filesystem::path& path, std::string_view text,
                           Existing existing = Existing::kRefused);

/// The same in pieces, for files larger than memory: `fill` hands them to its argument in order. If it throws, nothing
/// is left behind.
using ByteSink = std::function<void(std::span<const std::byte>)>;
void write_file_atomically(const std::filesystem::path& path, const std::function<void(const ByteSink& sink)>& fill,
                           Existing existing = Existing::kRefused);

/// Calls `fill(folder)` on a fresh folder beside `path`, syncs every file in it, then renames it to `path` and syncs
/// the parent. kReplaced exchanges the two in one step, so `path` holds the old files or the new ones at any moment
/// (where the file system cannot exchange, it is absent for a moment); a folder with a file or folder that the new one
/// lacks holds more than we wrote and is refused. If `fill` throws, `path` is as it was.
void write_folder_atomically(const std::filesystem::path& path,
                             const std::function<void(const std::filesystem::path& folder)>& fill,
                             Existing existing = Existing::kRefused);

/// Creates the folder `path` unless it is there. Throws Error when it cannot, or something else is there: a link to a
/// folder too, as what lies behind it need not be ours.
void make_folder(const std::filesystem::path& path);

}  // namespace loraxs
