// store/generation.h: which of a store's numbered folders is the one in use: a number that all processes see change.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>

namespace loraxs {

/// The file `current`: the number, 8 bytes little-endian, and XXH3 of those 8 bytes. Mapped, so that asking costs a
/// load.
class Generation {
 public:
  /// Throws Error where the file is not there or damaged.
  explicit Generation(std::filesystem::path file);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  std::uint64_t number() const;
  /// On disk, and seen by all, when it returns.
  void publish(std::uint64_t number);
  /// A new file.
  static void write(const std::filesystem::path& file, std::uint64_t number);

 private:
  std::filesystem::path file_;
  const std::uint64_t* mapped_ = nullptr;
};

}  // namespace loraxs
