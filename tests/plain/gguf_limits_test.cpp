// Hostile GGUF files: counts, shapes and names are checked before anything is made of them.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "io/gguf.h"
#include "support/expect_refused.h"
#include "support/gguf_bytes.h"
#include "support/growth.h"
#include "support/temporary_folder.h"
#include "text/tokenizer.h"

namespace loraxs {
namespace {

using test::counted_text;
using test::raw;

std::string tensor(const std::string& name, const std::vector<uint64_t>& sizes, uint32_t type = 0) {
  std::string text = counted_text(name) + raw(static_cast<uint32_t>(sizes.size()));
  for (const uint64_t size : sizes) text += raw(size);
  return text + raw(type) + raw<uint64_t>(0);
}

std::string file_of(const std::vector<std::string>& entries, const std::vector<std::string>& tensors) {
  std::string bytes = "GGUF" + raw(3U) + raw<uint64_t>(tensors.size()) + raw<uint64_t>(entries.size());
  for (const auto* part : {&entries, &tensors}) {
    for (const std::string& each : *part) bytes += each;
  }
  bytes.resize((bytes.size() + 31) / 32 * 32);
  return bytes + std::string(64, '\0');
}

std::string array(uint32_t kind, uint64_t count, const std::string& items) {
  return raw(9U) + raw(kind) + raw(count) + items;
}

class GgufLimitsTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "fast"); }
  Gguf read(const std::string& bytes) const {
    std::ofstream(folder / "t.gguf", std::ios::binary) << bytes;
    return read_gguf(folder / "t.gguf");
  }
  void encode(const std::vector<std::string>& entries) const {
    std::vector<std::string> all = {counted_text("tokenizer.ggml.model") + gguf_string("llama")};
    all.insert(all.end(), entries.begin(), entries.end());
    read(file_of(all, {}));
    load_tokenizer(folder / "t.gguf")->encode_text("aab", {});
  }
  test::TemporaryFolder folder;
};

TEST_F(GgufLimitsTest, AZeroHidesNoOverflow) {
  const uint64_t huge = uint64_t{1} << 62;
  for (const std::vector<uint64_t>& sizes : std::vector<std::vector<uint64_t>>{
           {0, huge, huge}, {huge, 0, huge}, {huge, huge, 0}, {0, 0, huge, huge}, {~uint64_t{0}, 0}, {huge, 2}}) {
    EXPECT_REFUSED(read(file_of({}, {tensor("t", sizes)})), "t: dimensions: too large");
  }
  EXPECT_REFUSED(read(file_of({}, {tensor("t", {0, huge}, 27 /* I64 */)})), "t: dimensions: too large");
  const Gguf empty = read(file_of({}, {tensor("t", {0, 5})}));
  EXPECT_EQ(empty.tensor("t").shape, (std::vector<int64_t>{5, 0}));
  EXPECT_TRUE(empty.tensor("t").bytes.empty());
}

TEST_F(GgufLimitsTest, NamesAreEscapedAndBounded) {
  const std::string name = "\x1b[2J\x1b]0;title\x07\nall is well";
  EXPECT_REFUSED(read(file_of({}, {counted_text(name) + raw(9U)})),
                 "\\x1b[2J\\x1b]0;title\\x07\\nall is well: expected at most 4 dim");
  EXPECT_REFUSED(read(file_of({counted_text(name) + raw(99U)}, {})),
                 "\\x1b[2J\\x1b]0;title\\x07\\nall is well: expected a value type");
  EXPECT_REFUSED(read(file_of({}, {tensor(std::string(1'000'000, 'n'), {1})})),
                 "name of tensor 0: expected a name of at most");
  EXPECT_REFUSED(read(file_of({counted_text(std::string(1'000'000, 'k')) + gguf_bool(true)}, {})),
                 "key of metadata entry 0: expected a name of at most");
}

TEST_F(GgufLimitsTest, CountsAreBoundedByTheFileAndByReason) {
  std::vector<std::string> many;
  for (int i = 0; i < 300'000; ++i) many.push_back(tensor(std::to_string(i), {}));
  EXPECT_REFUSED(read(file_of({}, many)), "number of tensors: expected at most 262144, found 300000");
  many.clear();
  for (int i = 0; i < 70'000; ++i) many.push_back(counted_text(std::to_string(i)) + gguf_bool(true));
  EXPECT_REFUSED(read(file_of(many, {})), "number of metadata entries: expected at most 65536, found 70000");
  EXPECT_REFUSED(read("GGUF" + raw(3U) + raw(~uint64_t{0}) + raw<uint64_t>(0) + std::string(64, '\0')),
                 "number of tensors: expected at most");
  EXPECT_REFUSED(read(file_of({counted_text("k") + array(9, ~uint64_t{0} / 2, "")}, {})), "k: expected");
}

TEST_F(GgufLimitsTest, VocabulariesThatDisagreeAreNamed) {
  const std::string tokens = counted_text("tokenizer.ggml.tokens") +
                             array(8, 3, counted_text("<unk>") + counted_text("a") + counted_text("b"));
  const std::string scores = counted_text("tokenizer.ggml.scores") + array(6, 3, raw(0.0F) + raw(0.0F) + raw(0.0F));
  const auto scores_of = [](uint64_t count, const std::string& items) {
    return counted_text("tokenizer.ggml.scores") + array(6, count, items);
  };
  const auto types_of = [](const std::vector<int64_t>& types) {
    std::string items;
    for (const int64_t type : types) items += raw(type);
    return counted_text("tokenizer.ggml.token_type") + array(11, types.size(), items);
  };
  const auto id = [](const char* name, int64_t value) {
    return counted_text(std::string("tokenizer.ggml.") + name) + raw(11U) + raw(value);
  };
  EXPECT_BOUNDED(encode({tokens, scores, types_of({2, 1, 1}), id("bos_token_id", 1)}));
  EXPECT_REFUSED(encode({tokens}), "tokenizer.ggml.scores: expected 3 of them, found 0");
  EXPECT_REFUSED(encode({tokens, scores_of(2, raw(0.0F) + raw(0.0F))}),
                 "tokenizer.ggml.scores: expected 3 of them, found 2");
  EXPECT_REFUSED(encode({tokens, scores_of(4'000'000, std::string(16'000'000, '\0'))}),
                 "tokenizer.ggml.scores: expected at most 3 of them, found 4000000");
  EXPECT_REFUSED(encode({tokens, scores_of(3, raw(0.0F) + raw(std::nanf("")) + raw(0.0F))}),
                 "tokenizer.ggml.scores[1]: expected a number, found NaN");
  EXPECT_REFUSED(encode({tokens, scores, types_of({1, 1})}), "tokenizer.ggml.token_type: expected 3 of them, found 2");
  EXPECT_REFUSED(encode({tokens, scores, types_of(std::vector<int64_t>(1'000'000, 1))}),
                 "token_type: expected at most 3 of them");
  for (const int64_t far : {int64_t{3}, int64_t{-1}, int64_t{1} << 32, -(int64_t{1} << 40), INT64_MIN}) {
    for (const char* name : {"bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id", "unknown_token_id"}) {
      EXPECT_REFUSED(encode({tokens, scores, id(name, far)}), std::string(name) + ": expected an id below 3, found");
    }
  }
  const std::string longest =
      counted_text("tokenizer.ggml.tokens") +
      array(8, 3, counted_text("<unk>") + counted_text(std::string(1'000'000, 'a')) + counted_text("b"));
  EXPECT_REFUSED(encode({longest, scores}),
                 "tokenizer.ggml.tokens: token 1: expected at most 1024 bytes, found 1000000");
  const std::string empty_tokens =
      counted_text("tokenizer.ggml.tokens") + array(8, 3'000'000, std::string(24'000'000, '\0'));
  EXPECT_REFUSED(encode({empty_tokens, scores}),
                 "tokenizer.ggml.tokens: expected at most 2097152 of them, found 3000000");
}

TEST_F(GgufLimitsTest, ReadingIsLinear) {
  const auto read_later = [&](const std::string& bytes) { return [this, bytes] { read(bytes); }; };
  test::expect_linear(10'000, [&](size_t size) {
    std::vector<std::string> tensors;
    for (size_t i = 0; i < size; ++i) tensors.push_back(tensor(std::to_string(i), {0}));
    return read_later(file_of({}, tensors));
  });
  test::expect_linear(10'000, [&](size_t size) {
    std::vector<std::string> entries;
    for (size_t i = 0; i < size; ++i) entries.push_back(counted_text(std::to_string(i)) + gguf_bool(true));
    return read_later(file_of(entries, {}));
  });
}

}  // namespace
}  // namespace loraxs
