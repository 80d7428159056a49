// io/seeds.h: seeds and counter-based random numbers. Everything random is a function of (seed, purpose, counter).
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace loraxs {

/// A seed that depends on `seed` and `name` only: 64 bits of SHA-256(little-endian seed, name).
uint64_t derive_seed(uint64_t seed, std::string_view name);

/// SplitMix64's finaliser over state + value: mixes one more integer into a key. Cheap, no state.
constexpr uint64_t mix_seed(uint64_t state, uint64_t value) {
  uint64_t z = state + 0x9E3779B97F4A7C15ULL * (value + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// Philox4x32 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): 10 rounds, the authors' choice with
/// a margin; 7 already pass all their tests.
constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t key, int rounds = 10) {
  uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < rounds; ++round) {
    const uint64_t product0 = 0xD2511F53ULL * counter[0], product1 = 0xCD9E8D57ULL * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return counter;
}

/// Standard normal draws from Philox by Box-Muller in float64: element i depends on (seed, i) only.
void fill_normal(std::span<float> values, uint64_t seed, double standard_deviation);
void fill_normal(std::span<double> values, uint64_t seed, double standard_deviation);
/// Uniform draws in [low, high).
void fill_uniform(std::span<float> values, uint64_t seed, double low, double high);
/// A permutation of 0 … size-1 (Fisher-Yates on Philox draws).
std::vector<int64_t> permutation(int64_t size, uint64_t seed);

}  // namespace loraxs
