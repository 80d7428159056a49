// io/atomic_file.h: files and folders that are complete or absent, never half-written.
#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace loraxs {

/// Writes `bytes` beside `path`, syncs, renames over `path`, syncs the folder. After a crash at any moment `path` holds
/// the old bytes or the new ones. Throws Error (read-only folder, full disk, …) and leaves nothing behind.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// The same in pieces, for files larger than memory: `fill` hands them to its argument in order. If it throws, nothing
/// is left behind.
using ByteSink = std::function<void(std::span<const std::byte>)>;
void write_file_atomically(const std::filesystem::path& path, const std::function<void(const ByteSink& sink)>& fill);

/// Calls `fill(folder)` on a fresh folder beside `path`, syncs every file in it, then renames it to `path` and syncs
/// the parent. An existing `path` is replaced. If `fill` throws, the folder aside is removed and `path` is as it was.
void write_folder_atomically(const std::filesystem::path& path,
                             const std::function<void(const std::filesystem::path& folder)>& fill);

/// Throws Error with a hint if files cannot be created in `folder` (which must exist). Writes and removes one empty
/// file.
void check_writable(const std::filesystem::path& folder);

}  // namespace loraxs
