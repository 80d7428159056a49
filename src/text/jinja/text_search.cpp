#include "text/jinja/text_search.h"

#include <cstring>

namespace loraxs::jinja {
namespace {

constexpr size_t kShort = 16;  // bytes of a part that may be tried at every place

}  // namespace

size_t find_part(std::string_view text, std::string_view part, size_t begin, Budget& budget) {
  if (text.size() < begin || text.size() - begin < part.size()) return std::string::npos;
  // memmem is two-way search or bounds its tries by 256 bytes (glibc); std::string::find tries the whole part
  // everywhere.
  const void* at = memmem(text.data() + begin, text.size() - begin, part.data(), part.size());
  const size_t found = at == nullptr ? std::string::npos : static_cast<const char*>(at) - text.data();
  budget.read((at == nullptr ? text.size() : found) - begin + part.size());
  return found;
}

size_t find_last_part(std::string_view text, std::string_view part, Budget& budget) {
  if (text.size() < part.size()) return std::string::npos;
  if (part.size() <= kShort) {
    const size_t found = text.rfind(part);
    budget.read(text.size() - (found == std::string::npos ? 0 : found));
    return found;
  }
  budget.text(static_cast<int64_t>(text.size()));
  budget.text(static_cast<int64_t>(part.size()));
  const std::string backwards(text.rbegin(), text.rend()), wanted(part.rbegin(), part.rend());
  const size_t found = find_part(backwards, wanted, 0, budget);
  return found == std::string::npos ? found : text.size() - found - part.size();
}

int64_t count_parts(std::string_view text, std::string_view part, int64_t most, Budget& budget) {
  int64_t count = 0;
  for (size_t at = 0; count < most; ++count, at += part.size()) {
    at = find_part(text, part, at, budget);
    if (at == std::string::npos) break;
  }
  return count;
}

}  // namespace loraxs::jinja
