// tests/support/oracle_folder.h: where the oracles write.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace loraxs::test {

/// Folder of the oracles; ctest runs their scripts first and sets LORAXS_ORACLES.
inline std::filesystem::path oracle_folder() {
  const char* folder = std::getenv("LORAXS_ORACLES");
  if (folder == nullptr) throw std::runtime_error("LORAXS_ORACLES is not set; run the tests through ctest");
  return folder;
}

}  // namespace loraxs::test
