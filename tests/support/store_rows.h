// tests/support/store_rows.h: rows for stores that are told apart by every byte.
#pragma once
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "store/store.h"

namespace loraxs::test {

inline std::vector<std::byte> random_row(std::uint64_t seed, std::size_t numbers = 64) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal(0, 0.3F);
  std::vector<float> row(numbers);
  for (float& number : row) number = normal(generator);
  const auto bytes = std::as_bytes(std::span(row));
  return {bytes.begin(), bytes.end()};
}

inline std::string kind_of_test(const std::string& base = "b0") {
  return kind_text({{"format", "loraxs-kind-1"},
                    {"base_id", base},
                    {"alpha", 16.0},
                    {"layout", {{"method", "lora_xs"}, {"rank", 4}}}});
}

/// Puts the kind and returns its digest.
inline Digest put_kind(Store& store, const std::string& text = kind_of_test()) {
  const Digest digest = digest_of_bytes(std::as_bytes(std::span(text)));
  store.put_shared(SharedKind::kKind, digest, text);
  return digest;
}

inline NewRow new_row(const AdapterName& name, std::span<const std::byte> row, const Digest& kind,
                      std::string tail = "{}") {
  return {.name = name,
          .header = {.numbers = static_cast<std::uint32_t>(row.size() / sizeof(float)), .kind = kind},
          .row = row,
          .tail = std::move(tail)};
}

}  // namespace loraxs::test
