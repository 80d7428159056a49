// Ids against Hugging Face's tokenizers: tests/oracles/make_tokens.py wrote texts and ids.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "io/fields.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

TEST(TokenizerTest, IdsEqualHuggingFace) {
  const char* oracles = std::getenv("LORAXS_ORACLES");
  ASSERT_NE(oracles, nullptr) << "run the tests through ctest";
  const auto cases = read_json(std::filesystem::path(oracles) / "tokens.json");
  const auto tokenizer = load_tokenizer("models/minilm");
  const test::TemporaryFolder vocab_only;
  std::filesystem::copy("models/minilm/vocab.txt", vocab_only / "vocab.txt");
  const auto from_vocab = load_tokenizer(vocab_only.path());
  size_t wrong = 0;
  for (const auto& entry : cases) {
    const std::string first = entry["first"];
    std::optional<std::string> second;
    if (!entry["second"].is_null()) second = entry["second"].get<std::string>();
    const auto ids = entry["ids"].get<std::vector<int32_t>>();
    for (const Tokenizer* each : {tokenizer.get(), from_vocab.get()}) {
      const Encoding found =
          each->encode(first, second ? std::optional<std::string_view>(*second) : std::nullopt, entry["max_length"]);
      if (found.input_ids != ids || found.token_type_ids != entry["types"].get<std::vector<int32_t>>()) {
        if (++wrong <= 5) ADD_FAILURE() << "text: " << entry.dump();
      }
    }
  }
  EXPECT_EQ(wrong, 0U) << "of " << cases.size();
  EXPECT_GT(cases.size(), 20000U);
}

TEST(TokenizerTest, UnsupportedOrMissingFilesAreNamed) {
  const test::TemporaryFolder folder;
  EXPECT_ERROR(load_tokenizer(folder.path()), "expected tokenizer.json or vocab.txt");
  EXPECT_ERROR(load_tokenizer("models/minilm")->encode("a", std::nullopt, 2),
               "max_length: expected more than the 2 special tokens");
}

}  // namespace
}  // namespace loraxs
