#include "io/seeds.h"

#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>

#include "io/sha256.h"

namespace loraxs {
namespace {

__extension__ typedef unsigned __int128 uint128;

/// Two independent uniforms in (0, 1] and [0, 1) from counter `index`, 53 bits each.
std::array<double, 2> uniform_pair(uint64_t index, uint64_t seed) {
  const auto words = philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0}, seed);
  const auto bits = [&](int i) { return (static_cast<uint64_t>(words[i]) << 32 | words[i + 1]) >> 11; };
  return {static_cast<double>(bits(0) + 1) * 0x1p-53, static_cast<double>(bits(2)) * 0x1p-53};
}

template <typename T>
void fill_normal_values(std::span<T> values, uint64_t seed, double standard_deviation) {
  for (size_t i = 0; i < values.size(); i += 2) {
    const auto [u, v] = uniform_pair(i / 2, seed);
    const double radius = standard_deviation * std::sqrt(-2 * std::log(u)), angle = 2 * std::numbers::pi * v;
    values[i] = static_cast<T>(radius * std::cos(angle));
    if (i + 1 < values.size()) values[i + 1] = static_cast<T>(radius * std::sin(angle));
  }
}

}  // namespace

uint64_t derive_seed(uint64_t seed, std::string_view name) {
  std::array<std::byte, 8> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(seed >> (8 * i));
  const std::string digest = Sha256().update(bytes).update(name).hex();
  return std::stoull(digest.substr(0, 16), nullptr, 16);
}

void fill_normal(std::span<float> values, uint64_t seed, double standard_deviation) {
  fill_normal_values(values, seed, standard_deviation);
}
void fill_normal(std::span<double> values, uint64_t seed, double standard_deviation) {
  fill_normal_values(values, seed, standard_deviation);
}

void fill_uniform(std::span<float> values, uint64_t seed, double low, double high) {
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(low + (high - low) * uniform_pair(i / 2, seed)[i % 2]);
  }
}

std::vector<int64_t> permutation(int64_t size, uint64_t seed) {
  std::vector<int64_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = size - 1; i > 0; --i) {
    // 64-bit draws: the bias of the multiply-shift reduction is below 2^-40 for any data set in memory
    const auto words = philox({static_cast<uint32_t>(i), static_cast<uint32_t>(i >> 32), 1, 0}, seed);
    const uint64_t draw = static_cast<uint64_t>(words[0]) << 32 | words[1];
    const auto j = static_cast<int64_t>((static_cast<uint128>(draw) * static_cast<uint64_t>(i + 1)) >> 64);
    std::swap(order[i], order[j]);
  }
  return order;
}

}  // namespace loraxs
