// tests/support/token_cases.h: what tests/oracles/make_tokens.py wrote: texts, and the ids and texts of one tokenizer.
#pragma once
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "io/mapped_file.h"

namespace loraxs::test {

inline std::filesystem::path token_folder() {
  const char* folder = std::getenv("LORAXS_ORACLES");
  if (folder == nullptr) throw std::runtime_error("LORAXS_ORACLES is not set; run the tests through ctest");
  return std::filesystem::path(folder) / "tokens";
}

class BinaryReader {
 public:
  explicit BinaryReader(const std::filesystem::path& path) : file_(MappedFile::open(path)), rest_(file_->text()) {}
  int32_t number() {
    int32_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::vector<int32_t> numbers(int32_t count) {
    std::vector<int32_t> values(count);
    for (int32_t& value : values) value = number();
    return values;
  }
  std::string_view text(int32_t bytes) { return take(bytes); }

 private:
  std::string_view take(size_t bytes) {
    if (bytes > rest_.size()) throw std::runtime_error(file_->path().string() + " ends early");
    const std::string_view part = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return part;
  }
  std::shared_ptr<const MappedFile> file_;
  std::string_view rest_;
};

struct TokenCase {
  std::string_view first;
  std::optional<std::string_view> second;
  int64_t max_length = 0;
};

/// All texts; the views live as long as this.
struct TokenTexts {
  BinaryReader reader{token_folder() / "texts.bin"};
  std::vector<TokenCase> cases;
  TokenTexts() : cases(reader.number()) {
    for (TokenCase& each : cases) {
      each.first = reader.text(reader.number());
      if (const int32_t bytes = reader.number(); bytes >= 0) each.second = reader.text(bytes);
      each.max_length = reader.number();
    }
  }
};

struct TokenResult {
  std::vector<int32_t> ids, types;
  std::string_view decoded;
};

inline TokenResult next_result(BinaryReader& reader) {
  const int32_t count = reader.number();
  TokenResult result = {.ids = reader.numbers(count), .types = reader.numbers(count)};
  result.decoded = reader.text(reader.number());
  return result;
}

}  // namespace loraxs::test
