#include "ops/isa.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "io/error.h"

namespace loraxs {
namespace {

constexpr std::array kIsaNames = {"plain", "avx2", "avx512"};

Isa isa_of_cpu() {
#if defined(__x86_64__) && defined(__GNUC__)
  // What -v4 and -v3 ask for beyond these came with the same processors.
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") != 0;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  return avx2 && avx512 ? Isa::kAvx512 : (avx2 ? Isa::kAvx2 : Isa::kPlain);
#else
  return Isa::kPlain;
#endif
}

Isa allowed_isa() {
  const char* limit = std::getenv("LORAXS_ISA");
  if (limit == nullptr || *limit == '\0') return isa_of_cpu();
  const auto named = std::find(kIsaNames.begin(), kIsaNames.end(), std::string(limit));
  if (named == kIsaNames.end()) throw Error(concat("LORAXS_ISA: expected plain, avx2 or avx512, found ", limit));
  return std::min(isa_of_cpu(), static_cast<Isa>(named - kIsaNames.begin()));
}

}  // namespace

Isa isa() {
  static const Isa allowed = allowed_isa();
  return allowed;
}

bool isa_is_limited() { return isa() < isa_of_cpu(); }

const char* isa_name(Isa isa) { return kIsaNames.at(static_cast<size_t>(isa)); }

}  // namespace loraxs
