// text/tokenizer.h: text to token ids, as the model's own tokenizer does it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace loraxs {

/// One encoded text or pair, with the special tokens the model expects.
struct Encoding {
  std::vector<int32_t> input_ids;
  std::vector<int32_t> token_type_ids;  // same length; 0 for the first text, 1 for the second
  std::vector<uint8_t> is_target;       // same length, 1 where predicting this token counts; empty for encoders
  bool truncated = false;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// At most `max_length` ids, special tokens included; longer pairs lose tokens from the end of the longer text first
  /// (Hugging Face's "longest_first"). Invalid UTF-8 is read as U+FFFD. Thread-safe.
  virtual Encoding encode(std::string_view first, std::optional<std::string_view> second, int64_t max_length) const = 0;
  virtual int64_t vocab_size() const = 0;
  /// SHA-256 over everything that changes the ids (vocabulary and settings); adapters record it.
  virtual const std::string& digest() const = 0;
};

/// The tokenizer of a Hugging Face folder: tokenizer.json, else vocab.txt with tokenizer_config.json.
/// Throws Error for a missing or damaged file, and for a kind that is not supported, naming those that are.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_folder);

}  // namespace loraxs
