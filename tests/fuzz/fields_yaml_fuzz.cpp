// YAML: what is read is bounded and UTF-8; every text in it, and the input itself, stays a text when it is written as a
// scalar and read again; getters give a value of their type or an Error.
#include <cstdlib>
#include <string>

#include "io/error.h"
#include "io/fields.h"
#include "io/yaml.h"

namespace {

using namespace loraxs;

void check_round_trip(const std::string& text) {
  if (first_invalid_utf8(text) != std::string::npos || text.find('\0') != std::string::npos) return;
  if (parse_yaml("k: " + yaml_scalar(text) + "\n", "r").at("k") != text) std::abort();
}

void check_texts(const nlohmann::json& value, size_t depth) {
  if (depth > 101) std::abort();
  if (value.is_string()) check_round_trip(value.get<std::string>());
  if (!value.is_structured()) return;
  for (const nlohmann::json& item : value) check_texts(item, depth + 1);
}

template <typename Get>
void try_get(Get get) {
  try {
    get();
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  constexpr size_t kShort = 200;
  if (size < kShort) check_round_trip(text);
  try {
    const nlohmann::json value = parse_yaml(text, "r.yaml");
    if (value.dump().size() < (size_t{1} << 16)) check_texts(value, 0);
    Fields fields(value, "r.yaml");
    for (const auto& [key, item] : value.items()) {
      const std::string& name = key;
      try_get([&] { fields.integer(name, 0); });
      try_get([&] { fields.positive_int(name, 1, 1000); });
      try_get([&] { fields.fraction(name, 0); });
      try_get([&] { fields.text(name, ""); });
      try_get([&] { fields.choice(name, "a", {"a", "b"}); });
      try_get([&] {
        if (fields.strings(name, {"x"}).empty()) std::abort();
      });
      try_get([&] {
        if (fields.numbers(name, {1}).empty()) std::abort();
      });
      try_get([&] {
        if (fields.integers(name, {1}).empty()) std::abort();
      });
      try_get([&] { fields.counts(name); });
    }
    fields.finish();
  } catch (const Error& error) {
    if (std::string_view(error.what()).size() > kMessageBytes) std::abort();
  }
  return 0;
}
