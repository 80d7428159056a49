// A regular expression (the first line) on a text (the rest).
#include "exercise_tokenizer.h"
#include "text/regex.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loraxs;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = std::min(input.find('\n'), size);
  const std::string text = valid_utf8(input.substr(std::min(cut + 1, size)));
  try {
    const Regex regex(std::string(input.substr(0, cut)), "x");
    TextLimit limit(text.size());
    size_t end_of_last = 0;
    regex.for_each_match(text, limit, [&](size_t begin, size_t end) {
      fuzz::require(end_of_last <= begin && begin <= end && end <= text.size());
      fuzz::require(is_valid_utf8(std::string_view(text).substr(begin, end - begin)));
      end_of_last = end;
    });
    fuzz::require(is_valid_utf8(regex.replace_all(text, "é", limit)));
  } catch (const Error&) {
  }
  return 0;
}
