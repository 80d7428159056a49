// tokenizer.json: parsed, then texts encoded, decoded and streamed.
#include "exercise_tokenizer.h"
#include "io/json.h"
#include "text/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loraxs;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    fuzz::exercise_all(Tokenizer(parse_tokenizer_json(parse_json(input, "x"), "x")), input);
  } catch (const Error&) {
  }
  return 0;
}
