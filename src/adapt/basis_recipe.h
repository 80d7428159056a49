// adapt/basis_recipe.h: what a basis is made of.
#pragma once
#include <cstdint>
#include <string>

namespace loraxs {

/// What a basis is made of. Part of its file.
struct BasisRecipe {
  int64_t rank = 16;  // largest rank: any smaller one is a prefix (variants with top or bottom vectors)
  // weight | random | svd_of_random | inputs | vera | gradient | imported_svd | imported_random
  std::string variant = "weight";
  std::string vectors = "top";  // top | middle | bottom: which singular triples
  bool sigma = true;            // Σ on a, the input side
  uint64_t seed = 0;            // of the random variants
  bool operator==(const BasisRecipe&) const = default;
  /// Came with a checkpoint, or from a task's gradient or texts: the weights do not give it, so its file travels with
  /// adapters.
  bool travels() const { return variant.starts_with("imported") || variant == "gradient" || variant == "inputs"; }
  /// Ranks below `rank` are prefixes of it; otherwise every rank has a basis of its own (middle, random).
  bool nested() const {
    return (variant == "weight" || variant == "svd_of_random" || variant == "gradient" || variant == "inputs") &&
           vectors != "middle";
  }
};

}  // namespace loraxs
